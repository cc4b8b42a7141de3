"""K-weighted power of a signal and its gated mean, ITU-R BS.1770-4 annex 1.

Owns filters, gates and channel weights; knows nothing of peaks.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LOWEST_RATE = 4000

# Channel weights by channel count. The orders are those of WAV files: L R; L R C; L R Ls Rs;
# L R C Ls Rs; 5.1 = L R C LFE Ls Rs; 6.1 = L R C LFE Cs Ls Rs; 7.1 = L R C LFE Lb Rb Ls Rs.
# 1.41 is for the sides (60 to 120 degrees), 0 for the LFE, 1 for the rest (tables 3 and 4).
_WEIGHTS = (
    (1.0,),
    (1.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 0.0, 1.0, 1.41, 1.41),
    (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),
)


class GatedPower:
    """Gathers K-weighted energy in tenths of a second: ten numbers per second are all it keeps."""

    def __init__(self, sr: int, channels: int) -> None:
        if sr < LOWEST_RATE:
            raise ValueError(f"loudness needs a sample rate of at least {LOWEST_RATE} Hz")
        if not 1 <= channels <= len(_WEIGHTS):
            raise ValueError(f"loudness is defined for 1 to {len(_WEIGHTS)} channels")
        self._sr = sr
        self._weights = _WEIGHTS[channels - 1]
        self._filters = k_weighting(sr)
        self._states = np.zeros((channels, 4))
        self._tenths: list[float] = []
        self._energy = 0.0
        self._position = 0

    def feed(self, block: Floats) -> None:
        """Take clean samples (channels, n)."""
        start = 0
        while start < block.shape[1]:
            end_of_tenth = (len(self._tenths) + 1) * self._sr // 10
            part = block[:, start : start + end_of_tenth - self._position]
            for samples, state, weight in zip(part, self._states, self._weights, strict=True):
                self._energy += weight * _weighted_energy(samples, self._filters, state)
            start += part.shape[1]
            self._position += part.shape[1]
            if self._position == end_of_tenth:
                self._tenths.append(self._energy)
                self._energy = 0.0

    def integrated(self) -> float:
        """Integrated loudness in LUFS; -inf if no 400 ms block is above -70 LUFS."""
        if len(self._tenths) < 4:
            return -math.inf
        quarters = np.lib.stride_tricks.sliding_window_view(np.array(self._tenths), 4)
        edges = np.arange(len(self._tenths) + 1) * self._sr // 10
        powers = quarters.sum(axis=1) / (edges[4:] - edges[:-4])
        powers = powers[powers > _power(-70)]
        if powers.size == 0:
            return -math.inf
        powers = powers[powers > powers.mean() * 0.1]
        return -0.691 + 10 * math.log10(powers.mean())


def k_weighting(sr: int) -> Doubles:
    """The two filters as rows b0 b1 b2 a1 a2: the head's high shelf, then the low cut.

    The standard tabulates them at 48 kHz only; these are the analogue filters behind that
    table (as identified by B. De Man, 2014), taken to `sr` Hz by the bilinear transform.
    """
    k, q = math.tan(math.pi * 1681.974450955533 / sr), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf_b = high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k
    shelf_a = 2 * (k * k - 1), 1 - k / q + k * k
    shelf = np.array(shelf_b + shelf_a) / norm
    k, q = math.tan(math.pi * 38.13547087602444 / sr), 0.5003270373238773
    norm = 1 + k / q + k * k
    cut = np.array([1, -2, 1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])
    return np.stack([shelf, cut])


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _weighted_energy(samples, filters, state):  # type: ignore[no-untyped-def]
    """Sum of squares behind both filters (transposed direct form II); moves `state` on."""
    b0, b1, b2, a1, a2 = filters[0]
    c0, c1, c2, d1, d2 = filters[1]
    s1, s2, t1, t2 = state
    energy = 0.0
    for i in range(samples.size):
        x = np.float64(samples[i])
        y = b0 * x + s1
        s1 = (b1 * x + s2) - a1 * y  # what waits for y comes last: it is the whole delay
        s2 = b2 * x - a2 * y
        z = c0 * y + t1
        t1 = (c1 * y + t2) - d1 * z
        t2 = c2 * y - d2 * z
        energy += z * z
    # In silence the filters would ring on in denormal numbers, which are slow.
    for i, value in enumerate((s1, s2, t1, t2)):
        state[i] = value if abs(value) > 1e-30 else 0.0
    return energy
