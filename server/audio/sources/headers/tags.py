"""Tags in front of the sound: titles, pictures. Only how long they say they are."""

from typing import BinaryIO

_TAGS = 16  # a file may open with several of them
_ID3_HEADER, _ID3V1, _APE_HEADER = 10, 128, 32  # bytes


def behind_tags(file: BinaryIO, start: int = 0) -> int:
    """Where the ID3 and APEv2 tags end that begin at byte `start`, by their own sizes.

    ID3v2.4.0 structure, section 3 (id3.org); APEv2 header, flags and footer (Hydrogenaudio).
    """
    for _ in range(_TAGS):
        file.seek(start)
        head = file.read(_APE_HEADER)
        if head.startswith(b"ID3") and len(head) >= _ID3_HEADER:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            start += _ID3_HEADER + size + (_ID3_HEADER if head[5] & 0x10 else 0)
        elif head.startswith(b"APETAGEX") and len(head) == _APE_HEADER:
            start += _APE_HEADER + int.from_bytes(head[12:16], "little")
        elif head.startswith(b"TAG"):
            start += _ID3V1
        else:
            break
    return start
