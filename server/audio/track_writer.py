"""What the writers of all formats share: the gain, and a length that is told before."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from server.audio.whole_file import WholeFile


class TrackWriter(WholeFile, ABC):
    """Takes a track of `frames` frames in blocks, times `gain`. Another number leaves nothing.

    `wav_format`, the kind of samples, is PCM_16, PCM_24 or FLOAT as far as the format knows it.
    """

    def __init__(self, target: Path, frames: int, wav_format: str, gain: float = 1.0) -> None:
        super().__init__(target)
        self._gain = gain
        self._missing = frames

    def write(self, block: np.ndarray) -> None:
        """Appends a float32 block of shape (frames, 2), any layout."""
        self._missing -= len(block)
        self.put(block if self._gain == 1.0 else block * np.float32(self._gain))

    @abstractmethod
    def put(self, block: np.ndarray) -> None:
        """Encodes a block to which the gain was applied. Integers are rounded and clipped."""

    def finish(self) -> None:
        """Raises ValueError where frames are missing, or too many."""
        if self._missing:
            raise ValueError(f"{self.target.name}: {self._missing} frames missing")
