"""Finished tracks, opened for any part of them: a part costs its own decoding, not the file's.

Knows the files that this project's writers write, and no others. It is used where many requests
are answered: no compiler is loaded here, and a decoder only for a format that needs one.
"""

from pathlib import Path
from typing import Protocol

import numpy as np

from server.audio.finished.wav import WavFrames


class Frames(Protocol):
    """An open file of sound, at 44.1 kHz in stereo. Not for two threads at once."""

    frames: int

    def read(self, start: int, count: int) -> np.ndarray:
        """Frames `start` to `start + count`, fewer at the end: float32 (<= count, 2).

        Raises EOFError: the file is shorter than it says.
        """

    def close(self) -> None:
        """Lets go of the file."""


def open_finished(path: Path) -> Frames:
    """Opens a track by its suffix. Removed meanwhile, it can still be read.

    Raises:
        OSError: it is gone, or cannot be opened.
        ValueError: these bytes are not what the writers write.
    """
    if path.suffix == ".flac":
        from server.audio.finished.flac import FlacFrames

        return FlacFrames(path)
    if path.suffix == ".mp3":
        from server.audio.finished.mp3 import Mp3Frames

        return Mp3Frames(path)
    if path.suffix == ".wav":
        return WavFrames(path)
    raise ValueError(f"no track has the suffix {path.suffix}")
