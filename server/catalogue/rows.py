"""The rows of the manifest of results, and what a committed result says. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct, field, structs


class Output(Struct, frozen=True):
    """One stem's file: where it lies relative to the output, its bytes, and their SHA-256."""

    track: str
    path: str
    size: int
    sha256: str


class Seconds(Struct, frozen=True):
    """How long each stage took, by the clock; `separate` is shared with the batch's other songs."""

    fetch: float = 0.0
    decode: float = 0.0
    separate: float = 0.0
    encode: float = 0.0
    store: float = 0.0


class Made(Struct, frozen=True, kw_only=True):
    """A result that is whole: the content of `result.json`."""

    key: str
    content_hash: str  # SHA-256 of the file that came in
    model_digest: str
    options: str  # JSON
    duration: float  # seconds of audio
    outputs: tuple[Output, ...]
    seconds: Seconds


class Row(Struct, frozen=True, kw_only=True):
    """What became of one line of the input. Either `made` or `error` is set.

    occurrence: how many lines before it have the same input. version: of the object that was read,
    empty where none was. options: JSON. others: values of the input's other columns.
    """

    input: str
    occurrence: int
    version: str
    model: str
    model_digest: str
    options: str
    finished: datetime
    made: Made | None = None
    error: str | None = None
    others: tuple[Any, ...] = field(default_factory=tuple)


Song = tuple[str, int, str, str]
IDENTITY = ("input", "occurrence", "model_digest", "options")  # of a song and what is made of it
OUTPUT = pa.struct([
    ("track", pa.string()), ("path", pa.string()), ("size", pa.int64()), ("sha256", pa.string()),
])  # fmt: skip
SECONDS = pa.struct([(name, pa.float64()) for name in Seconds.__struct_fields__])
SCHEMA = pa.schema([
    pa.field("input", pa.string(), nullable=False),
    pa.field("occurrence", pa.int32(), nullable=False),
    ("version", pa.string()),
    ("model", pa.string()),
    pa.field("model_digest", pa.string(), nullable=False),
    pa.field("options", pa.string(), nullable=False),
    ("key", pa.string()),
    ("content_hash", pa.string()),
    ("duration", pa.float64()),
    ("outputs", pa.list_(OUTPUT)),
    ("seconds", SECONDS),
    ("error", pa.string()),
    pa.field("finished", pa.timestamp("us", "UTC"), nullable=False),
])  # fmt: skip


def kept_name(column: str) -> str:
    """What another column of the input is called beside ours."""
    return f"{column}_listed" if column in SCHEMA.names else column


def values_of(column: pa.Array) -> list[Any]:
    """A column's values as Python has them. Times to the nanosecond, which it has not, are whole
    numbers."""
    fine = getattr(column.type, "unit", "") == "ns"
    return (column.cast(pa.int64()) if fine else column).to_pylist()


def text_of(value: Any) -> str | None:
    """A value where its column is text: as it is, if JSON has it as a string; others as JSON."""
    plain = msgspec.to_builtins(value)
    if plain is None or isinstance(plain, str):
        return plain
    return msgspec.json.encode(plain).decode()


def table(rows: list[Row], others: pa.Schema) -> pa.Table:
    """Rows as a table: our columns, then the input's others."""
    ours = pa.Table.from_pylist([_plain(row) for row in rows], SCHEMA)
    for place, column in enumerate(others):
        values = pa.array([row.others[place] for row in rows], column.type)
        ours = ours.append_column(column, values)
    return ours


def corrected(
    rows: pa.Table, others: pa.Schema, wanted: Mapping[Song, tuple[Any, ...]]
) -> pa.Table:
    """Those rows whose other columns are not as they are wanted by song, with what is wanted."""
    nothing = [None] * len(rows)
    had = zip(*(values_of(rows[name]) if name in rows.column_names else nothing
                for name in others.names), strict=True)  # fmt: skip
    songs: Any = zip(*(rows[name].to_pylist() for name in IDENTITY), strict=True)
    new = {place: now for place, (song, before) in enumerate(zip(songs, had, strict=True))
           if (now := wanted.get(song)) is not None and not all(map(_same, now, before))}
    rows = rows.take(pa.array(new, pa.int64()))
    for place, column in enumerate(others):
        if column.name in rows.column_names:
            rows = rows.drop_columns(column.name)
        values = pa.array([now[place] for now in new.values()], column.type)
        rows = rows.append_column(column, values)
    return rows


def _same(now: Any, before: Any) -> bool:
    """Whether two values are; a manifest of several runs may have one as text."""
    nothing = now != now and (before != before or before == text_of(now))  # no number is itself
    return nothing or now == before or text_of(now) == before


def _plain(row: Row) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in
             ("input", "occurrence", "version", "model", "model_digest", "options", "error",
              "finished")}  # fmt: skip
    if (made := row.made) is not None:
        plain |= {"key": made.key, "content_hash": made.content_hash, "duration": made.duration,
                  "outputs": [structs.asdict(output) for output in made.outputs],
                  "seconds": structs.asdict(made.seconds)}  # fmt: skip
    return plain
