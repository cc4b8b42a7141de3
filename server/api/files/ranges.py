"""Which bytes of a file a request asks for (RFC 9110, sections 13 and 14). Pure.

One range is served; several at once are answered with the whole file, as the RFC allows.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Final

from starlette.datastructures import Headers

from server.api.answers import RangeNotSatisfiable

# Up to 18 digits: larger than any file, and no work for int().
ONE_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.I)


def select(headers: Headers, size: int, etag: str, modified: str) -> range | None:
    """The byte positions to send, or None for the whole file of `size` bytes.

    A header that is malformed, of another unit, or made for an older file (`If-Range`) is
    ignored.

    Raises:
        RangeNotSatisfiable: the range begins behind the end.
    """
    match = ONE_RANGE.fullmatch(headers.get("range", ""))
    if match is None or headers.get("if-range", etag) not in (etag, modified):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return range(start, stop)


def changed(headers: Headers, etag: str, modified: str) -> bool:
    """Whether the file is not the one that the request is for: by `If-Match`, or where that is not
    sent, by `If-Unmodified-Since`."""
    tags = headers.get("if-match")
    if tags is not None:
        return not {"*", etag} & {tag.strip() for tag in tags.split(",")}
    return _is_later(modified, headers.get("if-unmodified-since", "")) is True


def unchanged(headers: Headers, etag: str, modified: str) -> bool:
    """Whether the client's copy is still this file: by `If-None-Match`, or where that is not sent,
    by `If-Modified-Since`."""
    tags = headers.get("if-none-match")
    if tags is None:
        return _is_later(modified, headers.get("if-modified-since", "")) is False
    known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return etag in known or known == ["*"]


def _is_later(modified: str, since: str) -> bool | None:
    """None where `since` is no date, one that no clock shows, or one without its zone: as if it
    had not been sent."""
    try:
        return parsedate_to_datetime(modified) > parsedate_to_datetime(since)
    except (ValueError, TypeError, OverflowError):
        return None
