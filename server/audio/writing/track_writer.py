"""What the writers of all formats share: the gain, the samples, a length that is known before."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels import quantise
from server.audio.peaks import PeakMeter
from server.audio.writing.whole_file import WholeFile, write_peaks
from server.sound import CHANNELS


class Samples(NamedTuple):
    """How a track's samples are written down."""

    bits: int
    floating: bool = False
    dithered: bool = False


SAMPLES: Mapping[str, Samples] = MappingProxyType({
    "PCM_16": Samples(16), "PCM_16_DITHERED": Samples(16, dithered=True),
    "PCM_24": Samples(24), "FLOAT": Samples(32, floating=True),
})  # fmt: skip


class TrackWriter(WholeFile, ABC):
    """Takes a track of `frames` frames in blocks, times `gain`. Any other number leaves no file.

    `wav_format`, the kind of samples, is one of SAMPLES as far as the format knows it. `peaks`:
    the file for what its waveform is drawn from (`audio.peaks`), which appears after the track.
    """

    def __init__(
        self, target: Path, frames: int, wav_format: str, gain: float = 1.0,
        peaks: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(target)
        self.samples = SAMPLES[wav_format]
        self._gain = gain
        self.frames = self._missing = frames
        self._peaks, self._meter = peaks, PeakMeter()
        # Every track has noise of its own, and the same at every attempt.
        self._seed = zlib.crc32(target.name.encode()) if self.samples.dithered else None

    def write(self, block: np.ndarray) -> None:
        """Appends a float32 block of shape (frames, 2), any layout."""
        self._missing -= len(block)
        block = block if self._gain == 1.0 else block * np.float32(self._gain)
        if self._peaks is not None:
            self._meter.add(block)
        self.put(block)

    @abstractmethod
    def put(self, block: np.ndarray) -> None:
        """Encodes a block to which the gain was applied."""

    def integers(self, block: np.ndarray) -> NDArray[Any]:
        """The block that is being written, rounded and clipped as `kernels.quantise` does."""
        first = CHANNELS * (self.frames - self._missing - len(block))
        return quantise(block, self.samples.bits, self._seed, first)

    def finish(self) -> None:
        """Raises ValueError where frames are missing, or too many."""
        if self._missing:
            raise ValueError(f"{self.target.name}: {self._missing} frames missing")

    def _publish(self) -> None:
        super()._publish()
        if self._peaks is not None:
            write_peaks(self._meter, self._peaks)
