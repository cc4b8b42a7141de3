"""The delay line between analysis and synthesis of HPSS: spectra wait here until the frames
after them are known, and leave with their two medians. Knows no samples.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.masks import squared_magnitudes
from kernels.median import ColumnMedian, Floats, RowMedian, aligned_zeros, padded_width, reflect

Spectrum = NDArray[np.complex64]


class Medians(NamedTuple):
    """Frames that are ready: views, valid until the next push.

    spectra: (frames, channels * bins); harmonic, percussive: squared medians over time and over
    frequency, (frames, at least channels * bins).
    """

    spectra: Spectrum
    harmonic: Floats
    percussive: Floats


class MedianDelay:
    """Medians of a spectrogram over time and frequency while it passes by.

    The squares are filtered instead of the magnitudes: a median keeps its place under any
    rising function. The row before the first and after the last frame are mirrored, like
    `scipy.ndimage.median_filter(mode="reflect")`. Memory: kernel + 2 `block` rows.
    """

    def __init__(self, channels: int, bins: int, kernels: tuple[int, int], block: int) -> None:
        self._shape = channels, bins
        self._block = block
        self._rows = RowMedian(kernels[0])
        self._columns = ColumnMedian(kernels[1], bins, block * channels)
        self._before = kernels[0] // 2
        self._halo = kernels[0] - 1
        width = padded_width(channels * bins)
        tiles = -(-block // self._rows.tile) * self._rows.tile
        # Rows `first .. first + filled - 1` of the mirrored spectrogram; the oldest frame not
        # yet given out is row `before`.
        self._squares = aligned_zeros(self._halo + tiles, width)
        self._harmonic = aligned_zeros(tiles, width)
        self._percussive = aligned_zeros(block, channels * bins)
        after = self._halo - self._before
        self._spectra = np.zeros((after + block, channels * bins), np.complex64)
        self._first, self._filled = -self._before, self._before
        self._ready = 0

    def push(self, spectra: Spectrum) -> Medians:
        """Take the next frames (at most `block`, channels, bins); return those that are final."""
        self._forget_ready()
        count = spectra.shape[0]
        waiting = self._filled - self._before
        self._spectra[waiting : waiting + count] = spectra.reshape(count, self._spectra.shape[1])
        rows = self._squares[self._filled : self._filled + count]
        squared_magnitudes(self._spectra[waiting : waiting + count].view(np.float32), rows)
        return self._advance(count)

    def finish(self) -> Iterator[Medians]:
        """The frames that wait for a future, which is the past mirrored."""
        self._forget_ready()
        frames = self._first + self._filled
        if frames == 0:
            return
        future = reflect(np.arange(frames, frames + self._halo - self._before), frames)
        mirrored = self._squares[future - self._first]
        for start in range(0, len(mirrored), self._block):
            self._forget_ready()
            rows = mirrored[start : start + self._block]
            self._squares[self._filled : self._filled + len(rows)] = rows
            yield self._advance(len(rows))

    def _advance(self, count: int) -> Medians:
        self._filled += count
        self._ready = max(0, self._filled - self._halo)
        ready = self._ready
        channels, bins = self._shape
        percussive = self._percussive[:ready]
        if ready:
            if self._first == -self._before:
                self._squares[: self._before] = self._squares[self._before :][: self._before][::-1]
            self._rows.filter(self._squares, ready, self._harmonic)
            centre = self._squares[self._before : self._before + ready, : channels * bins]
            source = np.ascontiguousarray(centre).reshape(-1, bins)
            self._columns.filter(source, percussive.reshape(-1, bins))
        return Medians(self._spectra[:ready], self._harmonic[:ready], percussive)

    def _forget_ready(self) -> None:
        """Move what is still needed to the front."""
        ready = self._ready
        self._first += ready
        self._filled -= ready
        self._squares[: self._filled] = self._squares[ready : ready + self._filled]
        waiting = self._filled - self._before
        self._spectra[:waiting] = self._spectra[ready : ready + waiting]
        self._ready = 0
