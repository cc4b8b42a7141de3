"""Chained Ogg: songs one behind the other in one file, each link with streams of its own.

RFC 3533. It finds where links begin; FFmpeg reads each as a file of its own.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from server.audio.sources.headers.open_file import file_size
from server.audio.sources.readers import ffmpeg
from server.audio.sources.sniffing import Container
from server.audio.sources.source import Chunk, Source
from server.errors import AudioError

LINKS = 1000  # a file of more is refused: opening a link costs more than playing it
_FIRST, _LAST = 0x02, 0x04  # flags of a page
_BEGINNING = re.compile(rb"OggS\0[\x02\x06].{8}.{4}\0\0\0\0", re.DOTALL)
_READ = 1 << 20
_PAGE = 27 + 255 + 255 * 255  # bytes, the longest
_HEADER = 27
_SERIAL = 14  # where in a page the number of its stream is


class Link(NamedTuple):
    """A stretch of the file: a chain's link."""

    start: int
    end: int


class ChainSource(Source):
    """All links of a chained file, one behind the other.

    The first that can be opened speaks for all. Raises AudioError where there is none.
    """

    def __init__(self, path: Path, container: Container, links: list[Link]) -> None:
        self._path, self._container, self._links = path, container, links
        super().__init__(container.format, None)
        for link in links:
            try:
                with self._open(link) as first:
                    share = (link.end - link.start) / links[-1].end
                    self.seconds = first.seconds / share if first.seconds else None
                    self.codec = first.codec
                return
            except AudioError:
                if link is links[-1]:
                    raise

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. A link that cannot be read is a warning, and an AudioError only if
        none can."""
        heard = False
        for number, link in enumerate(self._links, 1):
            try:
                with self._open(link) as source:
                    for chunk in source.chunks():
                        heard = True
                        yield chunk
                    self._warn(number, source.warnings)
            except AudioError as error:
                if number == len(self._links) and not heard:
                    raise
                self._warn(number, [error.message])

    def _warn(self, number: int, warnings: list[str]) -> None:
        self.warnings += [f"Part {number} of {len(self._links)}: {text}" for text in warnings]

    def _open(self, link: Link) -> AbstractContextManager[ffmpeg.FFmpegSource]:
        url = f"subfile,,start,{link.start},end,{link.end},,:file:{self._path}"
        return ffmpeg.opened_at(url, self._path, self._container, "file,subfile")


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens an Ogg file, chained or not. Raises as `open_source`."""
    with open(path, "rb") as file:
        links = links_of(file)
        whole = is_whole(file)
    if len(links) > 1:
        source: Source = ChainSource(path, container, links)
        yield source
    else:
        with ffmpeg.opened(path, container) as source:
            yield source
    if not whole:
        source.warnings.append("The file has no end mark: it may have been cut off")


def links_of(file: BinaryIO) -> list[Link]:
    """The links of an open file, in order. Raises AudioError where there are too many."""
    size = file_size(file)
    starts: list[int] = []
    serials: set[bytes] = set()  # of the streams in the last link
    expected = -1
    for start, end in _first_pages(file):
        file.seek(start + _SERIAL)
        serial = file.read(4)
        if start != expected or serial in serials:  # else it is another stream of the same link
            starts.append(start)
            serials.clear()
        serials.add(serial)
        expected = end
        if len(starts) > LINKS:
            raise AudioError(f"The file is a chain of more than {LINKS} songs")
    return [Link(a, b) for a, b in zip(starts, [*starts[1:], size], strict=False)]


def is_whole(file: BinaryIO) -> bool:
    """Whether the last page says that it is the last."""
    size = file_size(file)
    file.seek(max(0, size - _PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS")
    return at < 0 or len(tail) <= at + 5 or bool(tail[at + 5] & _LAST)


def _first_pages(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where the pages that begin a logical stream start and end."""
    position, size = 0, file_size(file)
    while position < size:
        file.seek(position)
        data = file.read(_READ + _HEADER)
        for match in _BEGINNING.finditer(data):
            if match.start() < _READ and (end := _end(file, position + match.start())):
                yield position + match.start(), end
        position += _READ


def _end(file: BinaryIO, start: int) -> int | None:
    """Where the page at `start` ends; None: its checksum says that it is none."""
    file.seek(start)
    page = bytearray(file.read(_PAGE))
    if len(page) < _HEADER:
        return None
    segments = page[_HEADER : _HEADER + page[26]]
    length = _HEADER + len(segments) + sum(segments)
    if len(segments) < page[26] or len(page) < length:
        return None
    claimed = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    return start + length if _checksum(page[:length]) == claimed else None


def _checksum(page: bytes | bytearray) -> int:
    """The CRC of RFC 3533, section 6: 0x04c11db7, nothing reflected, begun and ended with 0."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc
