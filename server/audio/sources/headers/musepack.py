"""The header of Musepack: how many samples there are, so that nothing else comes out.

Musepack Stream Version 8 specification (trac.musepack.net).
"""

from typing import BinaryIO

from server.audio.sources.headers.open_file import file_size

DELAY = 481  # samples that any decoder adds in front
_RATES = (44100, 48000, 37800, 32000)  # Hz
_PACKETS = 20  # before the sound begins


def read(file: BinaryIO) -> tuple[int, int] | None:
    """(samples, rate in Hz) of an open file of version 8; None: it does not tell."""
    end = file_size(file)
    file.seek(0)
    if file.read(4) != b"MPCK":
        return None
    at = 4
    for _ in range(_PACKETS):
        file.seek(at)
        head = file.read(12)
        size, length = _number(head, 2)
        if head[:2] == b"SH":
            file.seek(at + length)
            return _stream_header(file.read(32))
        at += size
        if size < length or at >= end:
            return None
    return None


def _stream_header(body: bytes) -> tuple[int, int] | None:
    samples, at = _number(body, 5)  # behind the checksum and the version
    silent, at = _number(body, at)
    if at >= len(body) or body[at] >> 5 >= len(_RATES) or samples <= silent:
        return None
    return samples - silent, _RATES[body[at] >> 5]


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    value = 0
    for index in range(at, min(at + 10, len(data))):
        value = value << 7 | data[index] & 0x7F
        if data[index] < 0x80:
            return value, index + 1
    return 0, len(data)
