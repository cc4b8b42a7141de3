"""From samples to windowed frames and back: a sample queue and weighted overlap-add.

Works on one block of frames at a time; knows nothing of spectra.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class SampleQueue:
    """First in, first out, for at most `capacity` samples of each channel.

    The oldest `held` columns of `samples` are in it; they move with every drop.
    """

    def __init__(self, channels: int, capacity: int) -> None:
        self.samples = np.zeros((channels, capacity), np.float32)
        self.held = 0

    @property
    def room(self) -> int:
        """How many more samples fit."""
        return self.samples.shape[1] - self.held

    def push(self, block: Floats) -> None:
        """Append `block` (channels, samples), which must fit."""
        self.samples[:, self.held : self.held + block.shape[1]] = block
        self.held += block.shape[1]

    def drop(self, count: int) -> None:
        """Forget the oldest `count` samples."""
        self.held -= count
        self.samples[:, : self.held] = self.samples[:, count : count + self.held]


class Framer:
    """Cuts a signal into frames of `n_fft` samples, `hop` apart, weighted by a Hann window.

    Takes the first frame's centre to be the first sample, with silence in front of it, as
    `librosa.stft(center=True)` does. Full means that `block` frames are ready.
    """

    def __init__(self, channels: int, n_fft: int, hop: int, block: int) -> None:
        # A periodic Hann window. scipy.signal has one, and takes most of a second to import.
        self.window = (0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))).astype(np.float32)
        self._hop = hop
        self._queue = SampleQueue(channels, n_fft + (block - 1) * hop)
        self._queue.push(np.zeros((channels, n_fft // 2), np.float32))

    @property
    def room(self) -> int:
        """How many samples are missing for a full block."""
        return self._queue.room

    def push(self, block: Floats) -> None:
        """Append samples (channels, samples), at most `room`."""
        self._queue.push(block)

    def take(self) -> Floats:
        """All frames that are complete, (frames, channels, n_fft), once."""
        queue, n_fft = self._queue, self.window.size
        count = max(0, 1 + (queue.held - n_fft) // self._hop)
        frames = np.empty((count, queue.samples.shape[0], n_fft), np.float32)
        _cut(queue.samples, self.window, self._hop, frames)
        queue.drop(count * self._hop)
        return frames


class OverlapAdd:
    """Adds windowed frames up to a signal again and divides by the sum of squared windows.

    The inverse of `Framer` in the least-squares sense (Griffin and Lim 1984), and what
    `librosa.istft` does. `scale` is a factor on every frame.
    """

    def __init__(self, channels: int, window: Floats, hop: int, block: int, scale: float) -> None:
        length = window.size + (block - 1) * hop
        self._window = window * np.float32(scale)
        self._squares = window * window
        self._hop = hop
        self._sums = np.zeros((channels, length), np.float32)
        self._weights = np.zeros(length, np.float32)

    def add(self, frames: Floats) -> None:
        """Add up to `block` frames (frames, channels, n_fft) from the current position on."""
        _overlap(frames, self._window, self._squares, self._hop, self._sums, self._weights)

    def take(self, count: int) -> Floats:
        """The next `count` samples (channels, count); the position moves behind them."""
        done = np.empty((self._sums.shape[0], count), np.float32)
        _divide(self._sums, self._weights, done)
        kept = self._weights.size - count
        for line in (*self._sums, self._weights):
            line[:kept] = line[count:]
            line[kept:] = 0
        return done


@njit(cache=True, nogil=True)
def _cut(samples, window, hop, frames):  # type: ignore[no-untyped-def]
    for t in range(frames.shape[0]):
        for c in range(frames.shape[1]):
            source = samples[c, t * hop : t * hop + window.size]
            target = frames[t, c]
            for i in range(window.size):
                target[i] = source[i] * window[i]


@njit(cache=True, nogil=True)
def _overlap(frames, window, squares, hop, sums, weights):  # type: ignore[no-untyped-def]
    for t in range(frames.shape[0]):
        for c in range(frames.shape[1]):
            source = frames[t, c]
            target = sums[c, t * hop : t * hop + window.size]
            for i in range(window.size):
                target[i] += source[i] * window[i]
        weight = weights[t * hop : t * hop + window.size]
        for i in range(window.size):
            weight[i] += squares[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _divide(sums, weights, out):  # type: ignore[no-untyped-def]
    tiny = np.finfo(np.float32).tiny
    for c in range(out.shape[0]):
        source, target = sums[c], out[c]
        for i in range(out.shape[1]):
            target[i] = source[i] / weights[i] if weights[i] > tiny else source[i]
