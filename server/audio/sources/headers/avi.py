"""The headers of AVI: how long each track of sound is.

Microsoft, "AVI RIFF File Reference", AVISTREAMHEADER. The rest of the file tells nothing of times,
so what is lost of it would not be missed.
"""

import re
import struct
from typing import BinaryIO

_HEAD = 1 << 16  # bytes: where the headers are
_STREAM = re.compile(rb"strh.{4}auds.{16}(.{16})", re.DOTALL)
_UNFILLED = 1 << 30  # what programs write in front that do not come back


def seconds_of(file: BinaryIO) -> list[float | None]:
    """How long the tracks of sound are, in their order, in seconds; None: not known."""
    file.seek(0)
    found = []
    for match in _STREAM.finditer(file.read(_HEAD)):
        scale, rate, _, length = struct.unpack("<4I", match[1])
        known = 0 < length < _UNFILLED and rate > 0
        found.append(length * scale / rate if known else None)
    return found
