"""The manifest of results in the output: `manifest.parquet`, and the parts of a run under way.

The driver writes a part every thousand rows, and puts all together at the end: one row for
each song and recipe, the last one. A part that is read twice, or beside the manifest that took
it in, changes nothing. One run at a time writes to an output.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog
from msgspec import Struct

from server.catalogue import locations, storage
from server.catalogue.rows import IDENTITY, Row, Song, corrected, table, text_of
from server.errors import StemboxError

log = structlog.get_logger()
WHOLE: Final = "manifest.parquet"
PARTS: Final = "manifest-parts"
ROWS: Final = 1000  # of one part
SECONDS: Final = 30.0  # until a part is written, however few its rows are
NEVER_NULL: Final = (*IDENTITY, "finished")
KNOWN: Final = (*NEVER_NULL, "version", "key")  # what `known` reads


class Known(Struct, frozen=True):
    """What the manifest says of a song: its row's place among all rows, the version of the object
    that was read, and the result's key, None where it failed."""

    place: int
    version: str
    key: str | None


class Parts:
    """Takes rows, and writes them to the output now and then.

    others: the columns that each row has beside ours.
    """

    def __init__(self, output: str, others: pa.Schema) -> None:
        self._output = output
        self._others = others
        self._rows: list[Row] = []
        self._run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self._count = 0
        self._due = time.monotonic() + SECONDS

    def add(self, row: Row) -> None:
        """Raises StorageError; the row is kept, and `flush` tries again."""
        self._rows.append(row)
        if len(self._rows) >= ROWS or time.monotonic() > self._due:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting. Raises StorageError."""
        if self._rows:
            self._write(table(self._rows, self._others))
            self._rows = []
        self._due = time.monotonic() + SECONDS

    def correct(self, wanted: Mapping[Song, tuple[Any, ...]]) -> None:
        """Writes those rows of earlier runs anew whose other columns are not as `wanted`, by song.

        Raises StorageError, StemboxError, as `known`.
        """
        with _scratch() as folder:
            for block in _last_rows(_fetched(self._output, folder)):
                rows = corrected(block, self._others, wanted)
                if len(rows):
                    self._write(rows)

    def _write(self, rows: pa.Table) -> None:
        with _scratch() as folder:
            file = folder / "part.parquet"
            pq.write_table(rows, file, compression="zstd")
            name = f"{self._run}-{self._count:06}.parquet"
            storage.put_file(file, locations.join(self._output, f"{PARTS}/{name}"))
        self._count += 1


def known(output: str) -> dict[Song, Known]:
    """What is known of every song, by the last row of each. Raises StorageError, and StemboxError
    where somebody else's file has the manifest's name."""
    with _scratch() as folder:
        return _last(_fetched(output, folder))


def complete(output: str) -> int:
    """Puts the manifest and all parts together into one row for each song; how many there are.

    Raises StorageError.
    """
    with _scratch() as folder:
        files = _fetched(output, folder)
        if not files:
            return 0
        schema, rows = _common(list(files.values())), 0
        whole = folder / "whole.parquet"
        with pq.ParquetWriter(whole, schema, compression="zstd") as writer:
            for block in _last_rows(files):
                writer.write_table(_fitted(block, schema))
                rows += len(block)
        storage.put_file(whole, locations.join(output, WHOLE))
        storage.delete([place for place in files if not place.endswith(WHOLE)])
    return rows


def _last_rows(files: dict[str, Path]) -> Iterator[pa.Table]:
    """The last row of each song, in blocks, as their files have them."""
    places = pa.array(sorted(one.place for one in _last(files).values()), pa.int64())
    for first, batch in _batches(list(files.values()), None):
        yield pa.table(batch).filter(pc.is_in(_numbers(first, batch), places))


def _last(files: dict[str, Path]) -> dict[Song, Known]:
    """The last row of each song; but one of an attempt that read nothing takes no result's place.
    Of rows of one time, the later file's."""
    found: dict[Song, Known] = {}
    ended: dict[Song, datetime] = {}
    for first, batch in _batches(list(files.values()), [*KNOWN]):
        rows = zip(*(batch[name].to_pylist() for name in KNOWN), strict=True)
        for place, (source, occurrence, *recipe, finished, version, key) in enumerate(rows, first):
            song: Song = (source, occurrence, *map(sys.intern, recipe))  # type: ignore[assignment]
            before, read = found.get(song), key or version  # else its store was away
            if before is None or (finished >= ended[song] and (read or not before.key)):
                ended[song] = finished
                found[song] = Known(place, version or "", key)
    return found


def _fetched(output: str, folder: Path) -> dict[str, Path]:
    """The manifest and its parts, the oldest first, as files of this machine by location."""
    parts = sorted(found.location for found in storage.under(locations.join(output, PARTS)))
    files = {}
    for number, place in enumerate([locations.join(output, WHOLE), *parts]):
        file = folder / f"{number:06}.parquet"
        try:
            storage.fetch(place, file)
        except storage.NoSuchObject:
            continue
        if number and not file.stat().st_size:  # a part, of a machine that lost its power
            log.warning("a part of the manifest is empty: its songs are looked for again",
                        part=place)  # fmt: skip
            continue
        _check(place, file)
        files[place] = file
    return files


def _check(place: str, file: Path) -> None:
    """Raises StemboxError: this is somebody else's file, which a whole manifest would replace."""
    try:
        ours = _is_ours(file)
    except pa.ArrowException:
        ours = False
    if not ours:
        raise StemboxError(f"{place} is no manifest of `stembox catalogue`, or no more, and is "
                           "left as it is: name another OUTPUT")  # fmt: skip


def _is_ours(file: Path) -> bool:
    """Whether it has what is read of it: other tools make texts of times, and leave fields out."""
    schema = pq.read_schema(file)
    if not {*KNOWN} <= set(schema.names):
        return False
    ended = schema.field("finished").type
    if not (pa.types.is_timestamp(ended) and ended.tz):
        return False
    loose = [name for name in NEVER_NULL if schema.field(name).nullable]  # none, as we write it
    return not any(column.null_count for _, batch in _batches([file], loose)
                   for column in batch.columns)  # fmt: skip


def _batches(
    files: list[Path], columns: list[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """All rows of all files, in blocks, each with its first row's place among all."""
    first = 0
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=8192, columns=columns):
                yield first, batch
                first += len(batch)


def _numbers(first: int, batch: pa.RecordBatch) -> pa.Array:
    return pa.array(range(first, first + len(batch)), pa.int64())


def _common(files: list[Path]) -> pa.Schema:
    """All columns of all files. One whose types differ has the widest, or else is text: where no
    type is wide enough for the others, or a value does not fit into it."""
    schemas = [pq.read_schema(file) for file in files]
    fields: dict[str, pa.Field] = {}
    for field in (field for schema in schemas for field in schema):
        fields[field.name] = _wider(fields.get(field.name, field), field)
    for file, schema in zip(files, schemas, strict=True):
        for old in schema:
            if not _fits(file, old, new := fields[old.name]):
                fields[old.name] = new.with_type(pa.string())
    return pa.schema(list(fields.values()))


def _wider(one: pa.Field, other: pa.Field) -> pa.Field:
    try:
        both = pa.unify_schemas([pa.schema([one]), pa.schema([other])],
                                promote_options="permissive")  # fmt: skip
    except pa.ArrowException:
        return one.with_type(pa.string()).with_nullable(True)
    return both.field(0)


def _fits(file: Path, old: pa.Field, new: pa.Field) -> bool:
    if old.type == new.type or new.type == pa.string():  # what is no text is made text
        return True
    try:
        for _, batch in _batches([file], [old.name]):
            batch[old.name].cast(new.type)
    except pa.ArrowException:
        return False
    return True


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with all columns of `schema`, null where they have none."""
    columns: list[Any] = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(len(rows), field.type))
        elif field.type == pa.string() != rows[field.name].type:
            columns.append(_text(rows[field.name]))
        else:
            columns.append(rows[field.name].cast(field.type))
    return pa.table(columns, schema=schema)


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return values.cast(pa.string())
    except pa.ArrowException:  # lists, objects, bytes that are no text
        return pa.chunked_array([[text_of(value) for value in values.to_pylist()]], pa.string())


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stembox-manifest-") as folder:
        yield Path(folder)
