"""What all bodies have in common: camel case, the contract's words, times."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

STATUSES: Final = ("PENDING", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED")
Status = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED"]
OutputType = Literal["VOCALS", "INSTRUMENTAL", "BOTH", "FOUR_STEMS", "SIX_STEMS"]
Quality = Literal["FAST", "BALANCED", "BEST"]
OutputFormat = Literal["WAV", "MP3", "FLAC"]
EVENTS: Final = ("job.completed", "job.failed")
Event = Literal["job.completed", "job.failed"]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Camel(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every body: field names in camel case."""


class DeletedResponse(Camel, frozen=True):
    """The answer to every DELETE."""

    deleted: bool


class Pagination(Camel, frozen=True):
    """Where a page stands among all."""

    total: int
    limit: int
    offset: int
    has_more: bool


def pagination(here: int, total: int, limit: int, offset: int) -> Pagination:
    """Of a page with `here` items on it."""
    return Pagination(total=total, limit=limit, offset=offset, has_more=offset + here < total)


def timestamp(seconds: float) -> str:
    """Unix seconds as `2026-05-21T12:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "milliseconds")[:-6] + "Z"


def maybe(seconds: float | None) -> str | None:
    """A time that may not have come."""
    return None if seconds is None else timestamp(seconds)
