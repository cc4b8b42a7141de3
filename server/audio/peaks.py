"""What a waveform is drawn from: the lowest and the highest sample of short stretches, in 8 bits.

Both channels count. Numbers alone: no files but the finished ones, no compiler.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.sound import CHANNELS

Pairs = NDArray[np.int8]
"""Lowest and highest sample of every stretch, full scale 127: int8 (stretches, 2)."""

FINE: Final = 512  # frames of a stretch
COARSE: Final = 16 * FINE
FULL: Final = 127


def pairs_of(frames: NDArray[np.float32]) -> Pairs:
    """The pairs of whole fine stretches: of float32 (n * FINE, 2)."""
    stretches = frames.reshape(-1, FINE * CHANNELS)
    pairs = np.stack([stretches.min(axis=1), stretches.max(axis=1)], axis=1)
    return np.rint(np.clip(pairs, -1, 1) * FULL).astype(np.int8)


def coarser(pairs: Pairs) -> Pairs:
    """Fine pairs as coarse ones; the last may stand for fewer."""
    if not len(pairs):
        return pairs
    starts = np.arange(0, len(pairs), COARSE // FINE)
    low = np.minimum.reduceat(pairs[:, 0], starts)
    return np.stack([low, np.maximum.reduceat(pairs[:, 1], starts)], axis=1)


def louder(pairs: Pairs, gain: float) -> Pairs:
    """The pairs of the same sound times `gain`, as far as 8 bits tell."""
    return np.clip(np.rint(pairs * np.float32(gain)), -FULL, FULL).astype(np.int8)


class PeakMeter:
    """The fine pairs of a sound that comes in blocks of any length."""

    def __init__(self) -> None:
        self._pairs: list[Pairs] = []
        self._rest = np.zeros((0, CHANNELS), np.float32)

    def add(self, block: NDArray[np.float32]) -> None:
        """Takes the next frames: float32 (frames, 2)."""
        frames = np.concatenate([self._rest, block])
        whole = len(frames) // FINE * FINE
        self._pairs.append(pairs_of(frames[:whole]))
        self._rest = frames[whole:]

    def finish(self) -> Pairs:
        """The pairs of all that came; the last may stand for fewer than FINE frames."""
        if len(self._rest):
            last = np.repeat(self._rest[-1:], FINE - len(self._rest), axis=0)
            self.add(last)
        return np.concatenate([np.zeros((0, 2), np.int8), *self._pairs])
