"""Harmonic-percussive separation of a signal of any length in bounded memory.

One engine, two faces: `HPSSStream` takes blocks, `hpss` a whole array. Knows no files.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from kernels.framing import Framer, OverlapAdd, SampleQueue
from kernels.masks import SoftMask
from kernels.samples import Floats, clean_block
from kernels.spectra import MedianDelay, Medians

Pair = tuple[Floats, Floats]

# Frames worked on at once, always counted from the start of the signal: a result does not depend
# on how the input was cut into blocks, and what a block needs stays in a core's own cache.
BLOCK = 32


class HPSSKeywords(TypedDict, total=False):
    """The fields of `HPSSSettings`, as keyword arguments."""

    n_fft: int
    hop_length: int
    kernel_size: int | tuple[int, int]
    power: float
    margin: float | tuple[float, float]


@dataclass(frozen=True)
class HPSSSettings:
    """What `librosa.effects.hpss` calls n_fft, hop_length, kernel_size, power and margin.

    kernel_size and margin are (harmonic, percussive) pairs, or one value for both. Raises
    ValueError where librosa would raise or could not work.
    """

    n_fft: int = 2048
    hop_length: int = 512
    kernel_size: int | tuple[int, int] = 31
    power: float = 2.0
    margin: float | tuple[float, float] = 1.0

    def __post_init__(self) -> None:
        if self.n_fft < 2 or not 1 <= self.hop_length <= self.n_fft:
            raise ValueError("n_fft must be at least 2, and hop_length between 1 and n_fft")
        if min(self.kernels) < 1:
            raise ValueError("kernel sizes must be at least 1")
        if not self.power > 0:
            raise ValueError("power must be positive")
        if not all(1 <= margin < math.inf for margin in self.margins):
            raise ValueError("margins must be finite and at least 1")

    @property
    def kernels(self) -> tuple[int, int]:
        """Frames of the harmonic median, bins of the percussive one."""
        harmonic, percussive = _pair(self.kernel_size)
        return int(harmonic), int(percussive)

    @property
    def margins(self) -> tuple[float, float]:
        """How many times stronger than the other each part must be."""
        return _pair(self.margin)

    @property
    def complementary(self) -> bool:
        """Whether the two parts add up to the signal, so that one inverse transform will do."""
        dense = 2 * self.hop_length <= self.n_fft
        return self.margins == (1, 1) and math.isfinite(self.power) and dense


class HPSSStream:
    """Separates a signal that arrives in blocks.

    Median-filtering separation (D. Fitzgerald, DAFx 2010) with margins (Driedger, Müller and
    Disch, ISMIR 2014); equal to `librosa.effects.hpss` but for float32 rounding. Keyword
    arguments are those of `HPSSSettings`. Samples come out kernel_size // 2 frames, one window
    and up to one block of frames after they went in; memory does not grow with the signal.
    """

    def __init__(self, channels: int, **settings: Unpack[HPSSKeywords]) -> None:
        if channels < 1:
            raise ValueError("a signal needs at least one channel")
        self._settings = chosen = HPSSSettings(**settings)
        self._channels = channels
        n_fft, hop, kernels = chosen.n_fft, chosen.hop_length, chosen.kernels
        self._framer = Framer(channels, n_fft, hop, BLOCK)
        self._delay = MedianDelay(channels, n_fft // 2 + 1, kernels, BLOCK)
        self._masks = _masks(chosen)
        window = self._framer.window
        self._overlaps = [OverlapAdd(channels, window, hop, BLOCK, 1 / n_fft) for _ in self._masks]
        # The signal itself, as late as its parts: what is not harmonic is percussive.
        self._original = SampleQueue(channels, (kernels[0] // 2 + 2 * BLOCK) * hop + 2 * n_fft)
        self._padding = n_fft // 2
        self._skip = self._padding
        self._left = 0
        self._finished = False

    def feed(self, block: NDArray[Any]) -> Pair:
        """Take the next samples (channels, n); return what is final, (channels, m) twice.

        m may be 0. Samples that are not finite (or beyond +-1e12) count as 0. Raises ValueError
        for a wrong shape and after `finish`, TypeError for integers.
        """
        return self._join(self.pieces(block))

    def finish(self) -> Pair:
        """The rest: with it, as many samples have come out as went in."""
        return self._join(self.last_pieces())

    def pieces(self, block: NDArray[Any]) -> Iterator[Pair]:
        """`feed`, one block of frames at a time."""
        if self._finished:
            raise ValueError("this stream is finished")
        clean = clean_block(block, self._channels)
        self._left += clean.shape[1]
        return self._run(clean)

    def last_pieces(self) -> Iterator[Pair]:
        """`finish`, one block of frames at a time."""
        if self._finished:
            raise ValueError("this stream is finished")
        self._finished = True
        yield from self._run(np.zeros((self._channels, self._padding), np.float32))
        yield self._separate(self._framer.take())
        for ready in self._delay.finish():
            yield self._synthesise(ready)
        yield self._emit(self._skip + self._left)

    def _run(self, samples: Floats) -> Iterator[Pair]:
        start = 0
        while start < samples.shape[1]:
            part = samples[:, start : start + self._framer.room]
            start += part.shape[1]
            self._framer.push(part)
            self._original.push(part)
            if self._framer.room == 0:
                yield self._separate(self._framer.take())

    def _separate(self, frames: Floats) -> Pair:
        return self._synthesise(self._delay.push(scipy.fft.rfft(frames, axis=-1)))

    def _synthesise(self, ready: Medians) -> Pair:
        count, n_fft = ready.spectra.shape[0], self._settings.n_fft
        medians = ready.harmonic, ready.percussive
        for part, (mask, overlap) in enumerate(zip(self._masks, self._overlaps, strict=True)):
            if count:
                masked = mask.apply(ready.spectra, medians[part], medians[1 - part])
                bins = masked.reshape(count, self._channels, n_fft // 2 + 1)
                overlap.add(scipy.fft.irfft(bins, n_fft, norm="forward", overwrite_x=True))
        return self._emit(count * self._settings.hop_length)

    def _emit(self, count: int) -> Pair:
        """The next `count` samples of the padded signal, less what is padding."""
        wanted = slice(self._skip, self._skip + self._left)
        parts = [overlap.take(count)[:, wanted] for overlap in self._overlaps]
        length = parts[0].shape[1]
        self._skip = max(0, self._skip - count)
        self._left -= length
        if self._settings.complementary:
            parts.append(self._original.samples[:, :length] - parts[0])
        self._original.drop(length)
        return parts[0], parts[1]

    def _join(self, pieces: Iterator[Pair]) -> Pair:
        none = np.zeros((self._channels, 0), np.float32)
        both = [(none, none), *pieces]
        harmonic, percussive = zip(*both, strict=True)
        return np.concatenate(harmonic, axis=1), np.concatenate(percussive, axis=1)


def hpss(y: NDArray[Any], **settings: Unpack[HPSSKeywords]) -> Pair:
    """Split `y` (channels, samples) into its harmonic and its percussive part, float32 alike.

    `librosa.effects.hpss` for float32 signals, with its keywords n_fft=2048, hop_length=512,
    kernel_size=31, power=2.0, margin=1.0. With margin 1 the two add up to `y`. Raises
    ValueError for another shape or settings out of range.
    """
    y = np.asarray(y)
    if y.ndim != 2:
        raise ValueError(f"expected an array of shape (channels, samples), not {y.shape}")
    stream = HPSSStream(y.shape[0], **settings)
    harmonic, percussive = np.empty((2, *y.shape), np.float32)
    done = 0
    for pieces in (stream.pieces(y), stream.last_pieces()):
        for h, p in pieces:
            harmonic[:, done : done + h.shape[1]] = h
            percussive[:, done : done + p.shape[1]] = p
            done += h.shape[1]
    return harmonic, percussive


def _masks(settings: HPSSSettings) -> list[SoftMask]:
    split_zeros = settings.margins == (1, 1)
    masks = [
        SoftMask(settings.power, margin, 0.5 if split_zeros else 0.0) for margin in settings.margins
    ]
    return masks[:1] if settings.complementary else masks


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, tuple | list):
        first, second = value
        return first, second
    return value, value
