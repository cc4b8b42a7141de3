"""How the bytes of our MP3 tracks lie: a tag, then frames of one rate. Pure; knows no encoder.

Layout: Xing's header, and the LAME tag specification, revision 1.
"""

import struct

from server.sound import SAMPLE_RATE

KBITS = 320
FRAME = 1152  # samples of each channel
FRAME_BYTES = 144_000 * KBITS / SAMPLE_RATE  # on average: a frame has 1044 or 1045
TAG_BYTES = int(FRAME_BYTES)
DELAY = 576  # samples that LAME puts in front (a decoder's own 529 are the reader's business)
HEADER = bytes((0xFF, 0xFB, 0xE0, 0x04))  # MPEG-1 layer 3, 320 kbit/s, 44.1 kHz, stereo, no CRC
SIDE_BYTES = 32  # "side information": all zero, so that the frame is silent
_XING, _LAME = ">4sIII100sI", ">9sBB8xxB3s12x"


def info_tag(frames: int, size: int, padding: int) -> bytes:
    """One silent MP3 frame that holds the tag.

    frames: MP3 frames after this one; size: bytes of the whole file; padding: samples at the end
    that are none of the track's. Its checksums, gains and peaks, which players do not need, are
    left at 0.
    """
    seek_points = bytes(i * 256 // 100 for i in range(100))
    all_fields, quality = 0x0F, 0
    xing = struct.pack(_XING, b"Info", all_fields, frames, size, seek_points, quality)
    constant_rate, lowpass, rate = 1, 0, 255  # rate: 255 kbit/s or more
    delays = (DELAY << 12 | max(0, min(padding, 4095))).to_bytes(3, "big")
    lame = struct.pack(_LAME, b"LAME3.100", constant_rate, lowpass, rate, delays)
    return (HEADER + bytes(SIDE_BYTES) + xing + lame).ljust(TAG_BYTES, b"\0")


def read_tag(head: bytes) -> tuple[int, int]:
    """MP3 frames after the tag, and the samples of the track. Raises ValueError."""
    offset = len(HEADER) + SIDE_BYTES
    if len(head) < TAG_BYTES or not head.startswith(HEADER):
        raise ValueError("this is no MP3 track")
    name, _, count, *_ = struct.unpack_from(_XING, head, offset)
    delays = int.from_bytes(struct.unpack_from(_LAME, head, offset + struct.calcsize(_XING))[4])
    if name != b"Info" or delays >> 12 != DELAY:
        raise ValueError("this is no MP3 track")
    return count, count * FRAME - DELAY - (delays & 4095)


def frame_bytes(head: bytes) -> int | None:
    """Bytes of the frame that begins with these four; None where none begins."""
    sync, kind, rate, _ = head[:4] if len(head) >= 4 else b"\0\0\0\0"
    if (sync, kind, rate & 0xFD) != (HEADER[0], HEADER[1], HEADER[2]):
        return None
    return TAG_BYTES + (rate >> 1 & 1)  # the padding bit
