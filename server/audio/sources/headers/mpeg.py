"""Frames of the two streams that have no signature: MPEG audio and ADTS AAC.

It knows headers and how frames follow one another, no decoder. A lone sync word proves nothing
(random bytes hold one every few kilobytes), so a stream counts only when several frames follow one
another.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from server.audio.sources.headers.tags import behind_tags

LONGEST = 2881  # bytes of a frame: layer 2 of MPEG-2.5, 160 kbit/s, 8 kHz
_CHAIN = 3  # frames in a row that no accident produces
_CHAIN_IN_JUNK = 8  # where neighbouring bytes are alike, as in samples without a header
_LEFT = 7  # bytes; fewer may be left behind the last whole frame
_FIRST_WINDOW, _WINDOW = 1 << 12, 1 << 18  # bytes that are looked at together: few, then more
_SEARCH = 1 << 23  # bytes: how far junk may go on in front of frames
# Where a header may be: both sync words, and no forbidden bit rate.
_MPEG_SYNC = re.compile(rb"\xff(?=[\xe2-\xff][\x10-\xef])")
_FREE_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\0\2\4\6\x08\x0a]")
_SHORTEST, _MOST_FREE = 48, 64  # bytes of such a frame, and how many headers are looked at
_ADTS_SYNC = re.compile(rb"\xff(?=[\xf0\xf1\xf8\xf9])")

# kbit/s by bitrate index 1 to 14 (ISO/IEC 11172-3, 2.4.2.3 and 13818-3, 2.4.2.3).
_V1_L1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44100, 48000, 32000)  # Hz in MPEG-1; half of it in MPEG-2, a quarter in MPEG-2.5


class Kind(NamedTuple):
    """What all frames of one MPEG stream have in common."""

    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    layer: int
    rate: int  # Hz
    channels: int

    @property
    def samples(self) -> int:
        """Samples of each channel in one frame."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152


def is_mpeg_audio(data: bytes) -> bool:
    """Whether `data`, the start of a file, is MPEG audio of any layer, maybe behind junk."""
    return _chain(data, _MPEG_SYNC, len(data), mpeg_frame, _CHAIN_IN_JUNK) is not None


def is_mpeg_audio_far(file: BinaryIO, end: int) -> bool:
    """Whether a file of `end` bytes is MPEG audio behind megabytes of something else."""
    return any(_search(file, start, end, _CHAIN_IN_JUNK) is not None
               for start in dict.fromkeys((behind_tags(file), 0)))  # fmt: skip


def is_adts(data: bytes) -> bool:
    """Whether `data`, the start of a file, is AAC in ADTS frames, maybe behind junk."""
    return _chain(data, _ADTS_SYNC, len(data), _adts_frame, _CHAIN_IN_JUNK) is not None


def is_free_format(data: bytes) -> bool:
    """Whether `data` begins with frames of MPEG audio that do not tell their size: like ones follow
    one another, at distances that are equal but for a byte of padding (ISO/IEC 11172-3, 2.4.2.3).
    """
    if not _FREE_SYNC.match(data):
        return False
    rate = data[2] & 0b1100  # beside a bit for padding
    like = re.compile(re.escape(data[:2]) + b"[" + bytes((rate, rate | 2)) + b"]")
    starts = [match.start() for match in islice(like.finditer(data), _MOST_FREE)]
    for second in starts:
        after = (range(second + n * (second - 1), second + n * (second + 1) + 1)
                 for n in range(1, _CHAIN))  # fmt: skip
        if second > _SHORTEST and all(any(s in near for s in starts) for near in after):
            return True
    return False


def first_frame(file: BinaryIO, start: int, end: int, floor: int | None = None) -> int | None:
    """Where the first frame of MPEG audio is, between two bytes of a file; None: nowhere near.

    Tags are skipped by the sizes they tell, but these may be wrong either way: frames that lead up
    to the first one found there belong to it, back to byte `floor` (default: `start`).
    """
    floor = start if floor is None else floor
    behind = min(behind_tags(file, start), end)
    found = _search(file, behind, end)
    if found is None and behind > start:
        found = _search(file, start, end)
    while found is not None and (earlier := _frame_before(file, found, floor)) is not None:
        found = earlier
    return found


def adts_skipped(path: Path) -> float:
    """Bytes between a file's ADTS frames that are neither frames nor tags, as a share of the
    frames' own. Reads the whole file."""
    framed = skipped = behind = 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = _adts_from(data, behind_tags(file))
        while at is not None:
            if behind and behind_tags(file, behind) == behind:
                skipped += at - behind
            while (frame := _adts_frame(data, at)) is not None:
                framed += frame[0]
                at += frame[0]
            behind, at = at, _adts_from(data, at)
    return skipped / framed if framed else 0.0


def _adts_from(data: mmap.mmap, start: int) -> int | None:
    """The first ADTS frame from byte `start` on that others follow."""
    starts = (match.start() for match in _ADTS_SYNC.finditer(data, start))
    return next((at for at in starts if _follows(data, at, _adts_frame)), None)


def mpeg_frame(data: bytes, at: int) -> tuple[int, Kind] | None:
    """Length in bytes and kind of the MPEG audio frame at `at` (ISO/IEC 11172-3, 2.4.1.3); None
    where there is no header."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * _bitrates(version, layer)[bitrate - 1]
    if layer == 1:
        length = (12 * bits // hertz + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding
    return length, Kind(version, layer, hertz, 1 if data[at + 3] >> 6 == 3 else 2)


_Frame = tuple[int, object]  # length in bytes, and what all frames share
_Data = bytes | mmap.mmap
_Parser = Callable[[Any, int], _Frame | None]  # of _Data


def _search(file: BinaryIO, start: int, end: int, count: int = _CHAIN) -> int | None:
    """The first of so many frames that follow one another."""
    begin, window, last = start, _FIRST_WINDOW, min(end, start + _SEARCH)
    while begin < last:
        file.seek(begin)
        data = file.read(min(window + count * LONGEST + 4, end - begin))
        if (found := _chain(data, _MPEG_SYNC, window, mpeg_frame, count)) is not None:
            return begin + found
        begin, window = begin + window, min(2 * window, _WINDOW)
    return None


def _frame_before(file: BinaryIO, position: int, floor: int) -> int | None:
    """Where the frame is that ends where the one at `position` begins."""
    start = max(floor, position - LONGEST)
    file.seek(start)
    data = file.read(position - start + 4)
    length = position - start
    this = mpeg_frame(data, length)
    for match in _MPEG_SYNC.finditer(data, 0, length + 2):
        frame = mpeg_frame(data, match.start())
        if this and frame and frame[1] == this[1] and match.start() + frame[0] == length:
            return start + match.start()
    return None


def _chain(
    data: bytes, sync: re.Pattern[bytes], end: int, parse: _Parser, in_junk: int = _CHAIN
) -> int | None:
    """Where, before byte `end`, the first frame is that others follow: so many, if not at byte 0.
    """
    starts: Iterator[int] = (match.start() for match in sync.finditer(data, 0, end + 2))
    return next((at for at in starts if _follows(data, at, parse, in_junk if at else _CHAIN)), None)


def _follows(data: _Data, start: int, parse: _Parser, most: int = _CHAIN) -> bool:
    """Whether like frames follow one another from `start`: so many, or from byte 0 on to the end.

    The last frame of a short file may be cut off, the first may not.
    """
    first = parse(data, start)
    position, frame, count = start, first, 0
    while first and frame and frame[1] == first[1]:
        if position + frame[0] > len(data):
            return start == 0 and count > 0
        position += frame[0]
        count += 1
        if count == most:
            return True
        frame = parse(data, position)
    return start == 0 and count > 0 and len(data) - position < _LEFT


def _bitrates(version: int, layer: int) -> tuple[int, ...]:
    if version == 3:
        return (_V1_L1, _V1_L2, _V1_L3)[layer - 1]
    return _V2_L1 if layer == 1 else _V2_L23


def _adts_frame(data: _Data, at: int) -> _Frame | None:
    """The ADTS frame at `at` (ISO/IEC 13818-7, 6.2), None where there is no header."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    rate = data[at + 2] >> 2 & 15
    return (length, data[at + 2] & 0xFC) if length >= 7 and rate < 13 else None
