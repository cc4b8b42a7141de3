"""The headers of Matroska and WebM: what they say of encryption and of the file's length.

EBML is RFC 8794, Matroska RFC 9559. It reads up to the first cluster and decodes nothing.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from server.audio.sources.headers.open_file import file_size

_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_ENTRY, _CODEC, _TYPE = 0xAE, 0x86, 0x83
_ENCODINGS, _ENCODING, _ENCRYPTION = 0x6D80, 0x6240, 0x5035
_ELEMENTS = 10_000  # more than headers have that are not made to be slow
_SMALL = 1 << 10  # bytes of an element that are looked at
_AUDIO = 2


class Film(NamedTuple):
    """What the headers say; tracks of sound are numbered from 0 on, in the file's order."""

    seconds: float | None  # of the longest track
    encrypted: dict[int, str]
    codecs: dict[int, str]
    cut: bool  # the segment is longer than the file
    pictures: bool  # there are tracks of other kinds, which may be longer than the sound


class _Element(NamedTuple):
    id: int
    start: int
    end: int


def read(file: BinaryIO) -> Film:
    """The headers of an open file. What is broken in them is left out."""
    size = file_size(file)
    seconds, cut, pictures = None, False, False
    encrypted: dict[int, str] = {}
    codecs: dict[int, str] = {}
    for segment in _elements(file, 0, size):
        if segment.id != _SEGMENT:
            continue
        cut = segment.end > size
        for part in _elements(file, segment.start, min(segment.end, size)):
            if part.id == _CLUSTER:
                break
            if part.id == _INFO:
                seconds = _seconds(file, part)
            if part.id == _TRACKS:
                for entry in _elements(file, part.start, part.end):
                    if entry.id == _ENTRY:
                        pictures = not _read_entry(file, entry, encrypted, codecs) or pictures
        break
    return Film(seconds, encrypted, codecs, cut, pictures)


def _read_entry(
    file: BinaryIO, entry: _Element, encrypted: dict[int, str], codecs: dict[int, str]
) -> bool:
    """Reads a track's entry into `encrypted` and `codecs`; returns whether it is sound."""
    fields = {field.id: field for field in _elements(file, entry.start, entry.end)}
    if _integer(file, fields.get(_TYPE)) != _AUDIO:
        return False
    number = len(codecs)
    codec = _content(file, fields[_CODEC]) if _CODEC in fields else b"an unknown codec"
    codecs[number] = codec.decode("ascii", "replace").rstrip("\0")
    if _ENCODINGS in fields:
        outer = fields[_ENCODINGS]
        for encoding in _elements(file, outer.start, outer.end):
            inner = _elements(file, encoding.start, encoding.end)
            if encoding.id == _ENCODING and any(field.id == _ENCRYPTION for field in inner):
                encrypted[number] = "Matroska's ContentEncryption"
    return True


def _seconds(file: BinaryIO, info: _Element) -> float | None:
    fields = {field.id: field for field in _elements(file, info.start, info.end)}
    scale = _integer(file, fields.get(_SCALE)) or 1_000_000  # ns
    data = _content(file, fields[_DURATION]) if _DURATION in fields else b""
    if len(data) not in (4, 8):
        return None
    duration = float(struct.unpack(">f" if len(data) == 4 else ">d", data)[0])
    seconds = duration * scale / 1e9
    return seconds if 0 < seconds < 1e9 else None


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[_Element]:
    """The elements between two places; one of unknown size reaches to `end`."""
    for _ in range(_ELEMENTS):
        if start >= end:
            return
        file.seek(start)
        head = file.read(12)
        id_length = _length(head[:1], 4)
        size_length = _length(head[id_length : id_length + 1], 8)
        if not id_length or not size_length or len(head) < id_length + size_length:
            return
        body = start + id_length + size_length
        size = int.from_bytes(head[id_length : id_length + size_length], "big")
        size &= (1 << 7 * size_length) - 1
        unknown = size == (1 << 7 * size_length) - 1
        stop = end if unknown else body + size
        yield _Element(int.from_bytes(head[:id_length], "big"), body, stop)
        start = stop


def _length(first: bytes, most: int) -> int:
    """Bytes of a variable-size integer that begins with `first`; 0: there is none."""
    length = 9 - first[0].bit_length() if first and first[0] else 0
    return length if length <= most else 0


def _content(file: BinaryIO, element: _Element) -> bytes:
    file.seek(element.start)
    return file.read(min(_SMALL, element.end - element.start))


def _integer(file: BinaryIO, element: _Element | None) -> int:
    return int.from_bytes(_content(file, element)[:8], "big") if element else 0
