"""Frame headers of streams that begin with a sync word alone: AC-3, E-AC-3, TrueHD, MPEG-TS.

Pure functions of bytes. A lone sync word proves nothing, so several frames must follow.
"""

import re

_CHAIN = 3  # frames in a row that no accident produces
_CUT_CHAIN = 8  # packets in a row, where they begin anywhere
_AC3_SYNC = re.compile(rb"\x0b\x77")
_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_RATES = (48000, 44100, 32000)  # Hz
_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and in front of its sync byte


def _ac3_words(rate: int, code: int) -> int:
    """Words of 16 bits in a frame of AC-3, by fscod and frmsizecod; 0: there are no such."""
    if rate >= len(_RATES) or code >= 2 * len(_KBITS):
        return 0
    return _KBITS[code // 2] * 96_000 // _RATES[rate] + (code & 1 if rate == 1 else 0)


# By the fifth byte of the frame (ETSI TS 102 366, 4.4.1.3 and 4.4.1.4).
AC3_WORDS = tuple(_ac3_words(byte >> 6, byte & 0x3F) for byte in range(256))


def is_transport_stream(head: bytes) -> bool:
    """Whether sync bytes stand where the packets of MPEG-TS begin (ISO/IEC 13818-1, 2.4.3.2).

    Lines of a text may be as long, but no text holds zeros.
    """
    return b"\0" in head and any(
        len(head) > offset + 2 * size
        and all(byte == 0x47 for byte in head[offset : 5 * size : size])
        for size, offset in _PACKETS
    )


def is_cut_transport_stream(head: bytes) -> bool:
    """Whether the packets of MPEG-TS follow one another behind a part of one.

    These must be plausible, too.
    """
    return b"\0" in head and any(
        all(_packet(head, at + number * size) for number in range(_CUT_CHAIN))
        for size, _ in _PACKETS
        for at in range(min(size, len(head) - (_CUT_CHAIN - 1) * size))
    )


def _packet(head: bytes, at: int) -> bool:
    """Whether a sound packet, which is not scrambled, may begin at a place."""
    sync, second, _, fourth = head[at : at + 4].ljust(4, b"\0")
    return sync == 0x47 and second < 0x80 and 0x10 <= fourth < 0x40


def cut_ac3_kind(head: bytes) -> str | None:
    """As `ac3_kind`, behind a part of a frame or junk."""
    starts = (match.start() for match in _AC3_SYNC.finditer(head))
    kinds = (ac3_kind(head, at, whole=True) for at in starts)
    return next((kind for kind in kinds if kind), None)


def ac3_kind(head: bytes, at: int = 0, whole: bool = False) -> str | None:
    """"ac3" or "eac3" where a stream of them begins (ETSI TS 102 366), else None.

    whole: three frames are needed, even where the bytes end before.
    """
    kind = None
    for _ in range(_CHAIN):
        size, found = _frame(head, at)
        if not size or kind not in (None, found):
            return None
        at, kind = at + size, found
        if at >= len(head):
            return None if whole else kind
    return kind


def _frame(head: bytes, at: int) -> tuple[int, str]:
    """Size and kind of the frame at a place; size 0: there is none."""
    if len(head) < at + 6 or head[at : at + 2] != b"\x0b\x77":
        return 0, ""
    identification = head[at + 5] >> 3
    if identification > 10:
        return (((head[at + 2] & 7) << 8 | head[at + 3]) + 1) * 2, "eac3" * (identification <= 16)
    return 2 * AC3_WORDS[head[at + 4]], "ac3"
