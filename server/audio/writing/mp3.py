"""Writes MP3 tracks by LAME, with the header that lets players leave out its padding."""

import lameenc
import numpy as np

from kernels import quantise
from server.audio.writing.mp3_layout import DELAY, FRAME, FRAME_BYTES, KBITS, TAG_BYTES, info_tag
from server.audio.writing.track_writer import TrackWriter
from server.sound import CHANNELS, SAMPLE_RATE

# LAME's 0 (slow) to 9. Noise above the masked threshold, in a simple model of the ear: with 0 to 5
# in one of a thousand places at most; with 7, in one of eleven of a drum track. 3 takes a third
# more work than 5, and 2 twice as much.
QUALITY = 5


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
