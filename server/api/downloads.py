"""Tracks and the ZIP of all tracks as HTTP answers: lengths, ranges, tags, HEAD.

Paths come from the jobs room only; nothing of a request is ever joined to one.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from os import stat_result
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from zipstream import ZipStream

from server.api import ranges
from server.api.answers import DownloadCut, TrackNotFound

CHUNK: Final = 256 << 10  # bytes: one hop to a thread each; a slow client costs this much memory


class Source(Struct, frozen=True, kw_only=True):
    """A file to download, real or made on the way. `read(start, stop)` yields its bytes."""

    name: str
    media_type: str
    size: int
    etag: str
    modified: float
    read: Callable[[int, int], Iterator[bytes]]


async def track(request: Request, name: str, path: Path) -> Response:
    """The answer with one track's WAV file.

    Raises:
        TrackNotFound: the file is gone.
        RangeNotSatisfiable: the asked-for range begins behind the end.
    """
    return await _answer(request, lambda: _file_source(path, f"{name}.wav", "audio/wav"))


async def file(request: Request, path: Path, media_type: str) -> Response:
    """The answer with one finished file under its own name. Raises as `track`."""
    return await _answer(request, lambda: _file_source(path, path.name, media_type))


async def archive(request: Request, tracks: Mapping[str, Path]) -> Response:
    """The answer with a ZIP of all tracks, stored, made while it is sent. Raises as `track`."""
    return await _answer(request, lambda: _zip_source(tracks))


def _file_source(path: Path, name: str, media_type: str) -> Source:
    stat = path.stat()
    return Source(
        name=name,
        media_type=media_type,
        size=stat.st_size,
        etag=f'"{_version(stat)}"',
        modified=stat.st_mtime,
        read=lambda start, stop: _read_file(path, start, stop),
    )


def _zip_source(tracks: Mapping[str, Path]) -> Source:
    """The bytes follow from the files alone, so a download may be taken up again."""
    stats = {name: path.stat() for name, path in tracks.items()}
    versions = "/".join(f"{name}-{_version(stat)}" for name, stat in stats.items())
    stream = ZipStream(sized=True)
    for name, path in tracks.items():
        stream.add_path(path, f"{name}.wav", recurse=False)
    return Source(
        name="tracks.zip",
        media_type="application/zip",
        size=len(stream),
        etag=f'"{hashlib.sha256(versions.encode()).hexdigest()[:32]}"',
        modified=max((stat.st_mtime for stat in stats.values()), default=0.0),
        read=lambda start, stop: _cut(stream, start, stop),
    )


def _version(stat: stat_result) -> str:
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


async def _answer(request: Request, make: Callable[[], Source]) -> Response:
    try:
        source = await run_in_threadpool(make)
    except FileNotFoundError:
        raise TrackNotFound("Track not found") from None
    modified = formatdate(source.modified, usegmt=True)
    headers = {"ETag": source.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if ranges.unchanged(request.headers, source.etag):
        return Response(status_code=304, headers=headers)
    # A range is for GET alone (RFC 9110, 14.2).
    wanted = (
        ranges.select(request.headers, source.size, source.etag, modified)
        if request.method == "GET"
        else None
    )
    span = range(source.size) if wanted is None else wanted
    headers["Content-Length"] = str(len(span))
    headers["Content-Disposition"] = f'attachment; filename="{source.name}"'
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


def _read_file(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop:
            data = file.read(min(CHUNK, stop - start))
            if not data:
                return  # cut short on disk: the server closes the connection, the client sees it
            start += len(data)
            yield data


def _cut(pieces: Iterable[bytes], start: int, stop: int) -> Iterator[bytes]:
    """Bytes `start` to `stop` of a stream of pieces, in chunks of a good size."""
    held = bytearray()
    position = 0
    for piece in pieces:
        held += memoryview(piece)[max(0, start - position) : max(0, stop - position)]
        position += len(piece)
        if len(held) >= CHUNK:
            yield bytes(held)
            held.clear()
        if position >= stop:
            break
    if held:
        yield bytes(held)
