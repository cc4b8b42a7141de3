"""Levels: the gain that normalisation asks for, its application, and rounding to integers."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def normalisation_gain(
    loudness_lufs: float, peak_dbtp: float, target_lufs: float, ceiling_dbtp: float
) -> float:
    """Linear gain that brings a signal to `target_lufs`, or as near as `ceiling_dbtp` allows.

    A signal whose loudness is unknown (silence, under 400 ms, all below the gate: -inf or NaN)
    keeps its level, unless its peak is above the ceiling. Never zero, infinite or an error.
    """
    wanted = target_lufs - loudness_lufs if math.isfinite(loudness_lufs) else 0.0
    allowed = ceiling_dbtp - peak_dbtp if math.isfinite(peak_dbtp) else math.inf
    return float(10 ** (min(wanted, allowed) / 20))


def apply_gain(block: Floats, gain: float) -> None:
    """Multiply a float32 array of any shape by `gain` (linear), in place."""
    np.multiply(block, np.float32(gain), out=block)


def quantise(
    block: Floats, bits: int, dither: int | None = None, first: int = 0
) -> NDArray[Any]:
    """Round float samples (any shape, full scale 1.0) to signed integers of 16 or 24 `bits`.

    To the nearest, ties to even, clipped at full scale; NaN becomes 0. 16 bits come as int16,
    24 as int32 with the lowest byte zero: what libsndfile takes for PCM_16 and PCM_24. (Given
    floats it would round down: half a step of offset, and 6 dB more noise.)

    dither: a seed. Triangular noise within one step either way is added before rounding, so that
        the error no longer depends on the signal (Lipshitz, Wannamaker and Vanderkooy,
        "Quantization and Dither", JAES 40, 1992). Seed and place of a sample alone decide it.
    first: the place of the block's first sample in its signal.

    Raises ValueError for other `bits`.
    """
    if bits not in (16, 24):
        raise ValueError(f"bits must be 16 or 24, not {bits}")
    samples = np.ascontiguousarray(block, np.float32)
    out = np.empty(samples.shape, np.int16 if bits == 16 else np.int32)
    flat, scale, target = samples.reshape(-1), np.float32(2 ** (bits - 1)), out.reshape(-1)
    if dither is None:
        _round(flat, scale, target)
    else:
        with np.errstate(over="ignore"):  # a hash wraps around, also where numba is off
            _dither(flat, scale, target, np.uint64(dither), np.uint64(first))
    return out if bits == 16 else out << 8


@njit(cache=True, nogil=True)
def _round(samples, scale, out):  # type: ignore[no-untyped-def]
    for i in range(samples.size):
        value = samples[i] if samples[i] == samples[i] else np.float32(0)
        value = min(max(value, np.float32(-1)), np.float32(1)) * scale
        out[i] = np.rint(min(value, scale - np.float32(1)))


@njit(cache=True, nogil=True)
def _dither(samples, scale, out, seed, first):  # type: ignore[no-untyped-def]
    """Two uniform numbers a sample from SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    for i in range(samples.size):
        bits = (seed << np.uint64(32)) + (first + np.uint64(i)) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        up, down = bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)
        noise = (np.float32(up) - np.float32(down)) * np.float32(2.0**-32)
        value = samples[i] if samples[i] == samples[i] else np.float32(0)
        value = min(max(value, np.float32(-1)), np.float32(1)) * scale + noise
        out[i] = np.rint(min(max(value, -scale), scale - np.float32(1)))
