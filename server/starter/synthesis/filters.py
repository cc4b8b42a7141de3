"""Owns the filters that more than one kind of sound needs. Signals are mono, (samples,)."""

from __future__ import annotations

import numpy as np
from numba import njit

QUIET = 1e-20  # keeps the states of a silent filter from decaying into slow denormal numbers


@njit(cache=True)
def state_variable(x: np.ndarray, freq: float, q: float, kind: int, sr: float) -> np.ndarray:
    """Filter `x` (samples,) at `freq` Hz; kind 0 = low, 1 = band, 2 = high pass. A new array."""
    out = np.empty_like(x)
    g = np.tan(np.pi * min(freq, 0.45 * sr) / sr)
    k = 1.0 / q
    a1 = 1.0 / (1.0 + g * (g + k))
    low, band = 0.0, 0.0
    for i in range(len(x)):
        v1 = a1 * (band + g * (x[i] - low)) + QUIET
        v2 = low + g * v1
        band, low = 2.0 * v1 - band, 2.0 * v2 - low
        if kind == 0:
            out[i] = v2
        elif kind == 1:
            out[i] = k * v1
        else:
            out[i] = x[i] - k * v1 - v2
    return out


@njit(cache=True)
def smooth(x: np.ndarray, frames: float) -> np.ndarray:
    """One-pole low-pass with a time constant of `frames`, started at the first value."""
    out = np.empty_like(x)
    rate = 1.0 - np.exp(-1.0 / max(0.1, frames))
    state = x[0]
    for i in range(len(x)):
        state += rate * (x[i] - state)
        out[i] = state
    return out
