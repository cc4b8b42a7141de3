"""Frame headers of the two streams that have no signature: MPEG audio and ADTS AAC.

Pure functions of bytes. A lone sync word proves nothing (random bytes hold one every few
kilobytes), so a stream counts only when several frames follow one another.
"""

from collections.abc import Callable, Iterator

_CHAIN = 3  # frames in a row that no accident produces
_HEADER = 7  # bytes; fewer may be left behind the last whole frame

# kbit/s by bitrate index 1 to 14 (ISO/IEC 11172-3, 2.4.2.3 and 13818-3, 2.4.2.3).
_V1_L1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44100, 48000, 32000)  # Hz in MPEG-1; half of it in MPEG-2, a quarter in MPEG-2.5


def is_mpeg_audio(data: bytes) -> bool:
    """Whether `data`, the start of a file, is MPEG audio of any layer, maybe behind junk."""
    return _has_chain(data, _mpeg_frame)


def is_adts(data: bytes) -> bool:
    """Whether `data`, the start of a file, is AAC in ADTS frames, maybe behind junk."""
    return _has_chain(data, _adts_frame)


_Frame = tuple[int, int]  # length in bytes, and the header bits that all frames share
_Parser = Callable[[bytes, int], _Frame | None]


def _has_chain(data: bytes, parse: _Parser) -> bool:
    return any(_follows(data, start, parse) for start in _sync_bytes(data))


def _sync_bytes(data: bytes) -> Iterator[int]:
    start = data.find(0xFF)
    while start >= 0:
        yield start
        start = data.find(0xFF, start + 1)


def _follows(data: bytes, start: int, parse: _Parser) -> bool:
    """Whether like frames follow one another from `start`: three, or from byte 0 on to the end.

    The last frame of a short file may be cut off, the first may not.
    """
    first = parse(data, start)
    position, frame, count = start, first, 0
    while first and frame and frame[1] == first[1]:
        if position + frame[0] > len(data):
            return start == 0 and count > 0
        position += frame[0]
        count += 1
        if count == _CHAIN:
            return True
        frame = parse(data, position)
    return start == 0 and count > 0 and len(data) - position < _HEADER


def _mpeg_frame(data: bytes, at: int) -> _Frame | None:
    """The MPEG audio frame at `at` (ISO/IEC 11172-3, 2.4.1.3), None where there is no header."""
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
    return length, version << 4 | layer << 2 | rate


def _bitrates(version: int, layer: int) -> tuple[int, ...]:
    if version == 3:
        return (_V1_L1, _V1_L2, _V1_L3)[layer - 1]
    return _V2_L1 if layer == 1 else _V2_L23


def _adts_frame(data: bytes, at: int) -> _Frame | None:
    """The ADTS frame at `at` (ISO/IEC 13818-7, 6.2), None where there is no header."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    rate = data[at + 2] >> 2 & 15
    return (length, data[at + 2] & 0xFC) if length >= 7 and rate < 13 else None
