"""The layout of a ZIP of stored files: from names, sizes and CRC-32 every byte has its place.

PKWARE's APPNOTE.TXT 6.3.10, without data descriptors, behind which readers of streams find no
end of a stored file; ZIP64 where 32 bits do not do. Pure: it reads no file.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

MOST_16, MOST_32 = 0xFFFF, 0xFFFFFFFF  # "told in the ZIP64 fields"
PLAIN, ZIP64 = 20, 45  # version needed to extract: 2.0, 4.5
UNIX: Final = 3 << 8  # "made by": the file attributes are a mode
MODE: Final = 0o100644 << 16
UTF8: Final = 1 << 11  # the flag of a name that is not ASCII
STORED: Final = 0
LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
ZIP64_END, LOCATOR = b"PK\6\6", b"PK\6\7"


class Member(NamedTuple):
    """A file to be stored: its name in the ZIP, its bytes and their CRC-32."""

    name: str
    size: int
    crc: int


def headers_of(members: Sequence[Member], made_at: float) -> list[bytes]:
    """What stands before each member's bytes, and last, what stands behind them all.

    made_at: unix seconds, the time of every member (told in UTC: a ZIP knows no zone).
    """
    when = _dos_time(made_at)
    local: list[bytes] = []
    central: list[bytes] = []
    offset = 0
    for member in members:
        local.append(_local_header(member, when))
        central.append(_central_header(member, when, offset))
        offset += len(local[-1]) + member.size
    directory = b"".join(central)
    return [*local, directory + _end(len(members), len(directory), offset)]


def _local_header(member: Member, when: tuple[int, int]) -> bytes:
    wide = [member.size, member.size] if member.size >= MOST_32 else []
    return LOCAL + _common(member, when, wide) + member.name.encode() + _extra(wide)


def _central_header(member: Member, when: tuple[int, int], offset: int) -> bytes:
    wide = [member.size, member.size] if member.size >= MOST_32 else []
    wide += [offset] if offset >= MOST_32 else []
    made_by = struct.pack("<H", UNIX | ZIP64)
    where = struct.pack("<HHHII", 0, 0, 0, MODE, min(offset, MOST_32))
    common = _common(member, when, wide)
    return CENTRAL + made_by + common + where + member.name.encode() + _extra(wide)


def _common(member: Member, when: tuple[int, int], wide: list[int]) -> bytes:
    """The fields that local and central headers share."""
    size, name = min(member.size, MOST_32), member.name.encode()
    return struct.pack(
        "<5H3I2H", ZIP64 if wide else PLAIN, 0 if member.name.isascii() else UTF8, STORED, *when,
        member.crc, size, size, len(name), len(_extra(wide)),
    )  # fmt: skip


def _extra(wide: list[int]) -> bytes:
    """The extra field of numbers that need 64 bits."""
    return struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""


def _end(count: int, size: int, offset: int) -> bytes:
    """What closes a directory of `count` members and `size` bytes that begins at `offset`."""
    end = END + struct.pack(
        "<4H2IH", 0, 0, min(count, MOST_16), min(count, MOST_16), min(size, MOST_32),
        min(offset, MOST_32), 0,
    )  # fmt: skip
    if count < MOST_16 and size < MOST_32 and offset < MOST_32:
        return end
    wide = struct.pack("<Q2H2I4Q", 44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, offset)
    return ZIP64_END + wide + LOCATOR + struct.pack("<IQI", 0, offset + size, 1) + end


def _dos_time(seconds: float) -> tuple[int, int]:
    """Time and date in MS-DOS's two numbers, which begin with 1980 and count every other second."""
    t = datetime.fromtimestamp(max(seconds, datetime(1980, 1, 1, tzinfo=UTC).timestamp()), UTC)
    return t.hour << 11 | t.minute << 5 | t.second // 2, t.year - 1980 << 9 | t.month << 5 | t.day
