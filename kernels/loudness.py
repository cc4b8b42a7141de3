"""Integrated loudness and true peak, of a whole array or of a signal that arrives in blocks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.gating import GatedPower
from kernels.samples import clean_block
from kernels.truepeak import TruePeak


class LoudnessMeter:
    """Loudness and true peak in one pass (ITU-R BS.1770-4, annexes 1 and 2).

    `sr` in Hz, at least 4000; 1 to 8 channels in WAV order, the LFE of 5.1 and more not
    counted. Samples that are not finite count as 0. Raises ValueError outside of these.
    """

    def __init__(self, sr: int, channels: int) -> None:
        self._channels = channels
        self._power = GatedPower(sr, channels)
        self._peak = TruePeak(channels)

    def feed(self, block: NDArray[Any]) -> None:
        """Take the next samples (channels, n), full scale 1.0."""
        clean = clean_block(block, self._channels)
        self._power.feed(clean)
        self._peak.feed(clean)

    def integrated(self) -> float:
        """Gated loudness of all samples so far, in LUFS; -inf for silence or under 400 ms."""
        return self._power.integrated()

    def true_peak(self) -> float:
        """True peak of all samples so far, in dBTP; -inf for silence."""
        return self._peak.dbtp()


def integrated_loudness(y: NDArray[Any], sr: int) -> float:
    """Loudness in LUFS of `y` (channels, samples) at `sr` Hz, as `LoudnessMeter.integrated`."""
    power = GatedPower(sr, _channels(y))
    power.feed(clean_block(y, _channels(y)))
    return power.integrated()


def true_peak(y: NDArray[Any], sr: int) -> float:
    """True peak in dBTP of `y` (channels, samples), as `LoudnessMeter.true_peak`.

    Oversampled four times whatever `sr` (Hz) is.
    """
    peak = TruePeak(_channels(y))
    peak.feed(clean_block(y, _channels(y)))
    return peak.dbtp()


def _channels(y: NDArray[Any]) -> int:
    shape = np.shape(y)
    if len(shape) != 2 or shape[0] < 1:
        raise ValueError(f"expected an array of shape (channels, samples), not {shape}")
    return int(shape[0])
