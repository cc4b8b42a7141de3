"""The songs of a catalogue: a manifest's lines, or what lies below a folder or prefix.

A manifest is Parquet, CSV or JSON lines. One column names the files; the others are kept.
"""

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, structs

from server.audio.sources.sniffing import SUPPORTED_FORMATS
from server.catalogue import locations, storage
from server.catalogue.folders import below
from server.catalogue.keys import SONGS
from server.catalogue.rows import kept_name, text_of, values_of
from server.errors import StemboxError

COLUMNS = ("path", "url", "uri", "location", "file", "input")  # that name files, best first
JSON_LINES = (".jsonl", ".ndjson", ".json")
SUFFIXES = frozenset({  # of files below a folder; a manifest may name any
    *(f".{name}" for name in SUPPORTED_FORMATS),
    ".wave", ".w64", ".rf64", ".bwf", ".oga", ".aif", ".aifc", ".snd", ".m4b", ".m4v", ".mka",
    ".asf", ".wmv", ".mpeg", ".vob", ".m2ts", ".mts", ".3g2", ".mp2", ".mpga", ".ec3", ".awb",
})  # fmt: skip
OF_JSON: tuple[tuple[type, pa.DataType], ...] = (
    (bool, pa.bool_()), (int, pa.int64()), (float, pa.float64()), (str, pa.string()),
)  # fmt: skip


class Entry(Struct, frozen=True):
    """One song of the input: where it lies, how many entries before it lie there too, what the
    store says of it (empty where nobody asked), and the values of its other columns."""

    input: str
    occurrence: int = 0
    version: str = ""
    others: tuple[Any, ...] = ()


class Listing(Struct, frozen=True):
    """All of them, and the other columns' names and types."""

    entries: list[Entry]
    others: pa.Schema


class Table(Struct, frozen=True):
    """A manifest's columns, and its lines as tuples."""

    schema: pa.Schema
    lines: Iterator[tuple[Any, ...]]


def read_listing(source: str, column: str = "", output: str = "") -> Listing:
    """The songs that INPUT names.

    Args:
        source: a manifest by its suffix, else a folder or prefix; a path or a URL.
        column: the manifest's column of paths or URLs; empty: the first of COLUMNS that it has,
            or its only one.
        output: the location that stems go to; what lies below it is no song of a folder's.

    Raises:
        StemboxError: there is nothing, or it does not say which files are meant.
    """
    location = locations.resolve(source, os.getcwd())
    suffix = Path(locations.name_of(location)).suffix.lower()
    if suffix not in (".parquet", ".csv", *JSON_LINES):
        return _of_prefix(location, output)
    with tempfile.TemporaryDirectory(prefix="stembox-manifest-") as folder:
        file = Path(folder) / f"manifest{suffix}"
        try:
            storage.fetch(location, file)
        except storage.NoSuchObject:
            raise StemboxError(f"{source}: there is no such manifest") from None
        try:
            return _of_table(read_table(file), column, locations.parent(location))
        except (pa.ArrowException, csv.Error, ValueError, OverflowError) as error:
            raise StemboxError(f"{source}: cannot be read: {error}") from None


def read_table(file: Path) -> Table:
    """A manifest on this machine, by its suffix. Raises ValueError, ArrowException, csv.Error."""
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        columns = (map(values_of, batch.columns) for batch in parquet.iter_batches())
        lines = (line for batch in columns for line in zip(*batch, strict=True))
        return Table(pa.schema([(f.name, _decoded(f.type)) for f in parquet.schema_arrow]), lines)
    return _csv(file) if file.suffix == ".csv" else _json_lines(file)


def _csv(file: Path) -> Table:
    """Everything is text: a catalogue number 007 must not become 7."""
    with _opened(file) as opened:
        names = next(csv.reader(opened, strict=True), [])
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise ValueError("its columns are parted by semicolons or tabs; a CSV's are by commas")

    def lines() -> Iterator[tuple[Any, ...]]:
        with _opened(file) as opened:
            rows = csv.reader(opened, strict=True)
            next(rows)
            for row in filter(None, rows):
                if len(row) != len(names):
                    raise ValueError(f"line {rows.line_num} has {len(row)} fields, "
                                     f"not {len(names)}")
                yield tuple(row)

    return Table(pa.schema([(name, pa.string()) for name in names]), lines())


def _decoded(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _opened(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", newline="")


def _json_lines(file: Path) -> Table:
    """A column has the type of all its values; where they are mixed, or lists or objects, they are
    text."""
    kinds: dict[str, set[type]] = {}
    for line in _objects(file):
        for name, value in line.items():
            kinds.setdefault(name, set()).add(type(value))
    types = {name: _type_of(found) for name, found in kinds.items()}

    def lines() -> Iterator[tuple[Any, ...]]:
        for line in _objects(file):
            yield tuple(text_of(line.get(name)) if arrow == pa.string() else line.get(name)
                        for name, arrow in types.items())  # fmt: skip

    return Table(pa.schema(list(types.items())), lines())


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if not line.strip():
                continue
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise ValueError(f"line {number}: {error}") from None


def _type_of(kinds: set[type]) -> pa.DataType:
    found = kinds - {type(None)}
    if found == {int, float}:
        return pa.float64()
    return next((arrow for kind, arrow in OF_JSON if found == {kind}), pa.string())


def _of_table(found: Table, column: str, base: str) -> Listing:
    place = found.schema.names.index(_column(found.schema.names, column))
    kept = [kept_name(name) for name in found.schema.names]
    if len(set(kept)) < len(kept):
        raise ValueError(f"two columns would be called alike: {', '.join(kept)}")
    others = pa.schema(list(zip(kept, found.schema.types, strict=True)))
    seen: Counter[str] = Counter()
    entries = []
    for number, line in enumerate(found.lines, 1):
        name = line[place]
        if not isinstance(name, str):
            raise ValueError(f"row {number} names no file")
        try:
            location = locations.resolve(name, base)
        except StemboxError as error:
            raise ValueError(f"row {number}: {error.message}") from None
        entries.append(Entry(location, seen[location], others=line))
        seen[location] += 1
    return _storable(Listing(entries, others))


def _storable(listing: Listing) -> Listing:
    """The same, where columns with a value that their type does not hold, such as a whole number of
    more than 64 bits, are text: rows of them could not be written after all the work."""
    entries, others = listing.entries, listing.others
    texts = {place for place, arrow in enumerate(others.types)
             if not _holds(arrow, [entry.others[place] for entry in entries])}  # fmt: skip
    if not texts:
        return listing
    for place in texts:
        others = others.set(place, pa.field(others.names[place], pa.string()))
    return Listing([structs.replace(entry, others=tuple(
        text_of(value) if place in texts else value for place, value in enumerate(entry.others)
    )) for entry in entries], others)  # fmt: skip


def _holds(arrow: pa.DataType, values: list[Any]) -> bool:
    try:
        pa.array(values, arrow)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _column(names: Sequence[str], wanted: str) -> str:
    if wanted:
        if wanted not in names:
            raise ValueError(f"no column {wanted!r}; it has: {', '.join(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    lower = {name.lower(): name for name in reversed(names)}
    for name in COLUMNS:
        if name in lower:
            return lower[name]
    raise ValueError(f"which column names the files? It has: {', '.join(names) or 'none'}; "
                     "--column says which")


def _why_nothing(location: str) -> str:
    """What is to be said where no song was found: of a bucket nobody knows what was meant."""
    if not locations.scheme_of(location):
        if os.path.isfile(location):
            return "a file, and no manifest: name a manifest, or the folder that songs lie in"
        if not os.path.isdir(location):
            return "there is no such folder"
    return "no audio file is below it"


def _is_song(name: str) -> bool:
    """By its suffix; names that begin with a dot are other systems' notes."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _real(location: str) -> str:
    """The one name of all that a folder or prefix has."""
    return location.rstrip("/") if locations.scheme_of(location) else os.path.realpath(location)


def _is_ours(location: str, output: str) -> bool:
    """Whether the files there are an output's own."""
    stems = locations.join(output, SONGS)
    return location in (output, stems) or locations.is_below(location, stems)


def _of_prefix(location: str, output: str) -> Listing:
    if output and _is_ours(_real(location), _real(output)):
        raise StemboxError(f"{location}: stems cannot go where the songs are; name another OUTPUT")
    found = below(location, output, _is_song)
    if not found:
        raise StemboxError(f"{location}: {_why_nothing(location)}")
    return Listing([Entry(one.location, version=one.version) for one in found], pa.schema([]))
