"""Writes MP3 tracks by LAME, with the header that lets players leave out its padding."""

import struct

import lameenc
import numpy as np

from kernels import quantise
from server.audio.track_writer import TrackWriter
from server.work.scratch import CHANNELS, SAMPLE_RATE

KBITS = 320
# LAME's 0 (slow) to 9. Noise above the masked threshold, in a simple model of the ear: with 0 to 5
# in one of a thousand places at most; with 7, in one of eleven of a drum track. 3 takes a third
# more work than 5, and 2 twice as much.
QUALITY = 5
FRAME = 1152  # samples of each channel
FRAME_BYTES = 144_000 * KBITS / SAMPLE_RATE  # on average: a frame has 1044 or 1045
TAG_BYTES = int(FRAME_BYTES)
DELAY = 576  # samples that LAME puts in front (a decoder's own 529 are the reader's business)
HEADER = bytes((0xFF, 0xFB, 0xE0, 0x04))  # MPEG-1 layer 3, 320 kbit/s, 44.1 kHz, stereo, no CRC
SIDE_BYTES = 32  # "side information": all zero, so that the frame is silent


class Mp3Writer(TrackWriter):
    """Writes an MP3: 320 kbit/s, constant, from 16 bits; `wav_format` says nothing here.

    The first frame is an Info tag (Xing's, with LAME's extension), by which decoders leave out
    what the encoder adds in front and behind: a decoded track has exactly `frames` frames.
    """

    def begin(self) -> None:
        """Starts the encoder, and leaves room for the tag."""
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_bit_rate(KBITS)
        self._encoder.set_in_sample_rate(SAMPLE_RATE)
        self._encoder.set_channels(CHANNELS)
        self._encoder.set_quality(QUALITY)
        self.append(bytes(TAG_BYTES))

    def put(self, block: np.ndarray) -> None:
        """Hands a block to the encoder, in 16 bits."""
        self.append(self._encoder.encode(quantise(block, 16).tobytes()))

    def finish(self) -> None:
        """Writes the last frames, and the tag that says how many there are."""
        super().finish()
        self.append(self._encoder.flush())
        size = self.file.tell()
        count = round((size - TAG_BYTES) / FRAME_BYTES)
        self.file.seek(0)
        self.append(info_tag(count, size, count * FRAME - DELAY - self.frames))


def info_tag(frames: int, size: int, padding: int) -> bytes:
    """One silent MP3 frame that holds the tag.

    frames: MP3 frames after this one; size: bytes of the whole file; padding: samples at the end
    that are none of the track's. Layout: Xing's header, and the LAME tag specification, revision
    1. Its checksums, gains and peaks, which players do not need, are left at 0.
    """
    seek_points = bytes(i * 256 // 100 for i in range(100))
    all_fields, quality = 0x0F, 0
    xing = struct.pack(">4sIII100sI", b"Info", all_fields, frames, size, seek_points, quality)
    constant_rate, lowpass, rate = 1, 0, 255  # rate: 255 kbit/s or more
    delays = (DELAY << 12 | max(0, min(padding, 4095))).to_bytes(3, "big")
    lame = struct.pack(">9sBB8xxB3s12x", b"LAME3.100", constant_rate, lowpass, rate, delays)
    return (HEADER + bytes(SIDE_BYTES) + xing + lame).ljust(TAG_BYTES, b"\0")
