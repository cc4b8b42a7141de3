"""Owns the physics of a voice: a glottal pulse, and resonators that a mouth would have.

Source and filter after Klatt (1980), with Rosenberg's pulse (1971). Knows nothing of notes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

HOP = 64  # samples between two settings of the vocal tract
BANDWIDTHS = (70.0, 95.0, 130.0, 200.0, 260.0, 500.0, 700.0)


class Tract(NamedTuple):
    """Control tracks, one value each HOP samples; formants is (frames, 7) in Hz."""

    pitch: np.ndarray
    voiced: np.ndarray
    hiss: np.ndarray
    formants: np.ndarray


@njit(cache=True)
def glottis(
    tract: Tract, noise: np.ndarray, quotient: float, corner: float, sr: float
) -> np.ndarray:
    """The flow's derivative: Rosenberg's pulse C with jitter, plus noise while it is open."""
    n = len(noise)
    out = np.zeros(n, dtype=np.float32)
    phase, last, jitter, low = 0.0, 0.0, 1.0, 0.0
    rise, fall = 0.66 * quotient, 0.34 * quotient
    rate = 1.0 - np.exp(-2.0 * np.pi * corner / sr)
    for i in range(n):
        frame = i // HOP
        part = (i - frame * HOP) / HOP
        hertz = tract.pitch[frame] + part * (tract.pitch[frame + 1] - tract.pitch[frame])
        level = tract.voiced[frame] + part * (tract.voiced[frame + 1] - tract.voiced[frame])
        phase += jitter * hertz / sr
        if phase >= 1.0:
            phase -= 1.0
            jitter = 1.0 + 0.006 * noise[i]
        flow = 0.0
        if phase < rise:
            flow = 0.5 * (1.0 - np.cos(np.pi * phase / rise))
        elif phase < rise + fall:
            flow = np.cos(0.5 * np.pi * (phase - rise) / fall)
        low += rate * ((flow - last) * sr / hertz - low)
        last = flow
        out[i] = level * low + tract.hiss[frame] * (0.3 + flow) * noise[i]
    return out


@njit(cache=True)
def resonate(x: np.ndarray, formants: np.ndarray, bandwidths: np.ndarray, sr: float) -> np.ndarray:
    """Seven resonators in cascade (Klatt, 1980), retuned each HOP samples: (n,) float32."""
    n, count = len(x), len(bandwidths)
    out = np.empty(n, dtype=np.float32)
    a, b, c = np.zeros(count), np.zeros(count), np.zeros(count)
    y1, y2 = np.zeros(count), np.zeros(count)
    for i in range(n):
        if i % HOP == 0:
            for k in range(count):
                radius = np.exp(-np.pi * bandwidths[k] / sr)
                c[k] = -radius * radius
                b[k] = 2.0 * radius * np.cos(2.0 * np.pi * formants[i // HOP, k] / sr)
                a[k] = 1.0 - b[k] - c[k]
        value = x[i]
        for k in range(count):
            value = a[k] * value + b[k] * y1[k] + c[k] * y2[k]
            y2[k], y1[k] = y1[k], value
        out[i] = value
    return out
