"""Tracks and the ZIP of all tracks as HTTP answers: names, lengths, ranges, tags, HEAD.

Paths come from the jobs room only; nothing of a request is ever joined to one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from os import stat_result
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.api.answers import DownloadCut, FileChanged
from server.api.files import ranges
from server.api.files.file_names import attachment
from server.api.files.zips import Member, headers_of
from server.api.ports import TrackFile
from server.errors import TrackDamaged, TrackNotFound

CHUNK: Final = 256 << 10  # bytes: one hop to a thread each; a slow client costs this much memory


class Source(Struct, frozen=True, kw_only=True):
    """A file to download, real or made on the way. `read(start, stop)` yields its bytes."""

    name: str
    media_type: str
    size: int
    etag: str
    modified: float
    read: Callable[[int, int], Iterator[bytes]]


async def track(request: Request, song: str, found: TrackFile, media_type: str) -> Response:
    """The answer with one finished track of a song. Raises as `file`."""
    return await file(request, f"{song} - {found.path.name}", found, media_type)


async def file(request: Request, name: str, found: TrackFile, media_type: str) -> Response:
    """The answer with a finished file, to be saved as `name`.

    Raises:
        TrackNotFound: the file is gone.
        TrackDamaged: it is not what was written.
        RangeNotSatisfiable: the asked-for range begins behind the end.
    """
    return await _answer(request, lambda: _file_source(name, found, media_type))


async def archive(
    request: Request, song: str, tracks: Mapping[str, TrackFile], made_at: float
) -> Response:
    """The answer with a ZIP of all tracks of a song, whose sizes and CRC-32 are known.

    made_at: unix seconds, the time of all files in it. Raises as `file`.
    """
    return await _answer(request, lambda: _zip_source(song, list(tracks.values()), made_at))


def _file_source(name: str, file: TrackFile, media_type: str) -> Source:
    stat = _stat(file)
    return Source(
        name=name,
        media_type=media_type,
        size=stat.st_size,
        etag=f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
        modified=stat.st_mtime,
        read=lambda start, stop: _read_file(file.path, start, stop),
    )


def _zip_source(song: str, files: Sequence[TrackFile], made_at: float) -> Source:
    """Every byte follows from what is known of the files, so a download may be taken up again."""
    stats = [_stat(file) for file in files]
    members = [Member(file.path.name, file.size or 0, file.crc or 0) for file in files]
    *before, behind = headers_of(members, made_at)
    parts: list[bytes | TrackFile] = []
    for header, file in zip(before, files, strict=True):
        parts += [header, file]
    parts.append(behind)
    digest = hashlib.sha256(b"".join([*before, behind])).hexdigest()
    return Source(
        name=f"{song}.zip",
        media_type="application/zip",
        size=sum(map(_size, parts)),
        etag=f'"{digest[:32]}"',
        modified=max((stat.st_mtime for stat in stats), default=made_at),
        read=lambda start, stop: _read_parts(parts, start, stop),
    )


def _stat(file: TrackFile) -> stat_result:
    stat = file.path.stat()
    if file.size not in (None, stat.st_size):
        raise TrackDamaged(f"Track {file.path.stem} is damaged")
    return stat


async def _answer(request: Request, make: Callable[[], Source]) -> Response:
    try:
        source = await run_in_threadpool(make)
    except FileNotFoundError:
        raise TrackNotFound("Track not found") from None
    modified = formatdate(source.modified, usegmt=True)
    headers = {"ETag": source.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if ranges.changed(request.headers, source.etag, modified):
        raise FileChanged("The file is another by now")
    if ranges.unchanged(request.headers, source.etag, modified):
        return Response(status_code=304, headers=headers)
    # A range is for GET alone (RFC 9110, 14.2).
    wanted = (
        ranges.select(request.headers, source.size, source.etag, modified)
        if request.method == "GET"
        else None
    )
    span = range(source.size) if wanted is None else wanted
    headers["Content-Length"] = str(len(span))
    headers["Content-Disposition"] = attachment(source.name)
    headers["X-Content-Type-Options"] = "nosniff"
    if wanted is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{source.size}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=source.media_type)
    body = _unless_removed(source.read(span.start, span.stop))
    return StreamingResponse(body, status, headers, source.media_type)


def _unless_removed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; DownloadCut where a file goes away meanwhile, as retention may have it."""
    try:
        yield from pieces
    except OSError as error:
        raise DownloadCut(error.strerror) from None


def _read_parts(parts: Sequence[bytes | TrackFile], start: int, stop: int) -> Iterator[bytes]:
    """Bytes `start` to `stop` of all parts in a row; no more is read than that."""
    for part in parts:
        size = _size(part)
        first, last = max(0, start), min(size, stop)
        if first < last:
            if isinstance(part, bytes):
                yield part[first:last]
            else:
                yield from _read_file(part.path, first, last)
        start, stop = start - size, stop - size


def _size(part: bytes | TrackFile) -> int:
    return len(part) if isinstance(part, bytes) else part.size or 0


def _read_file(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop:
            data = file.read(min(CHUNK, stop - start))
            if not data:
                raise DownloadCut(f"{path.name} was cut short")
            start += len(data)
            yield data
