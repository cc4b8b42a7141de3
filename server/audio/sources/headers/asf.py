"""The header of Windows Media (ASF): how long it is, and whether it is encrypted.

Microsoft, "Advanced Systems Format Specification", sections 2 and 3.
"""

import struct
from typing import BinaryIO, NamedTuple
from uuid import UUID

from server.audio.sources.headers.open_file import file_size

_PROPERTIES = UUID("8CABDCA1-A947-11CF-8EE4-00C00C205365").bytes_le
_ENCRYPTIONS = frozenset(
    UUID(text).bytes_le
    for text in (
        "2211B3FB-BD23-11D2-B4B7-00A0C955FC6E",  # Content Encryption
        "298AE614-2622-4C17-B935-DAE07EE9289C",  # Extended Content Encryption
        "43058533-6981-49E6-9B74-AD12CB86D58C",  # Advanced Content Encryption
    )
)
_HEADER = 30  # bytes of the outer object in front of those inside
_OBJECTS = 200


class Media(NamedTuple):
    """What the header says."""

    seconds: float | None
    encrypted: bool
    cut: bool  # it promises more bytes than there are


def read(file: BinaryIO) -> Media:
    """The header of an open file. What is broken in it is left out."""
    size = file_size(file)
    seconds, encrypted, cut, at = None, False, False, _HEADER
    for _ in range(_OBJECTS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 24:
            break
        kind, length = head[:16], int.from_bytes(head[16:], "little")
        encrypted = encrypted or kind in _ENCRYPTIONS
        if kind == _PROPERTIES and len(body := file.read(64)) == 64:
            promised, duration, preroll = struct.unpack("<16xQ16xQ8xQ", body)
            seconds = duration / 1e7 - preroll / 1e3
            cut = promised > size
        at += length
        if length < 24 or at >= size:
            break
    return Media(seconds if seconds and seconds > 0 else None, encrypted, cut)
