"""`python -m server.starter.make_demo`: composes the demo song and writes its file.

That takes a minute. FFmpeg's version decides the bytes, not the song.
"""

from pathlib import Path
from typing import Final

import av
import numpy as np

from server.starter.demo_song import FILE
from server.starter.songs import synthesise

SECONDS: Final = 30.0
SEED: Final = 2_000_001  # of the range that training never uses
RATE: Final = 48_000  # Hz, as Opus has it
BITS: Final = 128_000  # a second
BLOCK: Final = 960  # samples: 20 ms, a frame of Opus


def make(target: Path) -> None:
    """Writes the song, in stereo."""
    mix = np.sum(list(synthesise(SEED, SECONDS, RATE).values()), axis=0)
    with av.open(str(target), "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE, layout="stereo")
        stream.bit_rate = BITS
        for start in range(0, mix.shape[1], BLOCK):
            block = np.ascontiguousarray(mix[:, start : start + BLOCK], np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


if __name__ == "__main__":
    make(FILE)
