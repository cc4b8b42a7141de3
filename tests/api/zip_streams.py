"""A ZIP read as a stream, front to back and once, by its local headers alone.

As strict as such readers are: a stored file must say its size and CRC-32 before its bytes.
"""

import io
import struct
import zlib
from typing import BinaryIO, NamedTuple

LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
MOST_32 = 0xFFFFFFFF


class Found(NamedTuple):
    """A local header; `needs` is the version that it takes to read the file."""

    name: str
    size: int
    crc: int
    needs: int


def read_as_stream(data: bytes) -> dict[str, bytes]:
    """The files in it, by name."""
    stream, files = io.BytesIO(data), {}
    while (header := next_header(stream)) is not None:
        content = stream.read(header.size)
        assert len(content) == header.size
        assert zlib.crc32(content) == header.crc
        files[header.name] = content
    return files


def next_header(stream: BinaryIO) -> Found | None:
    """The local header that the stream stands at, or None: the directory begins here."""
    signature = stream.read(4)
    if signature == CENTRAL:
        return None
    assert signature == LOCAL
    needs, flags, method, _, _, crc, packed, size, of_name, of_extra = struct.unpack(
        "<5H3I2H", stream.read(26))
    assert flags & ~(1 << 11) == 0, "no data descriptor, no encryption"
    assert method == 0
    raw, extra = stream.read(of_name), stream.read(of_extra)
    name = raw.decode("utf-8" if flags else "ascii")
    if size == MOST_32 or packed == MOST_32:
        kind, length, wide, wide_packed = struct.unpack("<2H2Q", extra)
        assert (kind, length, needs) == (1, 16, 45)
        assert size == packed == MOST_32
        size, packed = wide, wide_packed
    else:
        assert extra == b""
    assert packed == size
    return Found(name, size, crc, needs)
