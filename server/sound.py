"""What all sound in here is, between a file that came in and the files that go out: float32 frames
of two channels."""

from typing import Final

SAMPLE_RATE: Final = 44100  # Hz
CHANNELS: Final = 2
FRAME_BYTES: Final = CHANNELS * 4
