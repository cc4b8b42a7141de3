"""Owns what instruments are heard through: wooden bodies, amplifiers, loudspeakers.

Signals are (2, samples) float32. Each keeps the level of what it is given; knows no notes.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis import effects
from server.starter.synthesis.filters import state_variable


def amplified(x: np.ndarray, rng: np.random.Generator, sr: int) -> np.ndarray:
    """A guitar amplifier turned up, from edge to fuzz, and its cabinet."""
    tight = passed(x, float(rng.uniform(60, 350)), 2, sr)
    pushed = effects.saturate(tight, float(10.0 ** rng.uniform(0.5, 1.9)))
    peak = effects.bell(float(rng.uniform(1500, 3500)), 1.0, float(rng.uniform(0, 7)), sr)
    voiced = effects.equalise(pushed, peak[None])
    corner = float(rng.uniform(3200, 6000))
    return at_level(x, passed(passed(voiced, corner, 0, sr), corner, 0, sr), sr)


def bodied(x: np.ndarray, rng: np.random.Generator, sr: int) -> np.ndarray:
    """A guitar's body: air and plates ring at some 100, 200 and 400 Hz, and little lies below."""
    modes = np.array([100.0, 200.0, 400.0]) * rng.uniform(0.85, 1.2, size=3)
    bells = [effects.bell(float(f), 3.0, float(rng.uniform(1.0, 7.0)), sr) for f in modes]
    return at_level(x, effects.equalise(passed(x, 80.0, 2, sr), np.stack(bells)), sr)


def passed(x: np.ndarray, corner: float, kind: int, sr: int) -> np.ndarray:
    """What lies below (kind 0) or above (kind 2) `corner` Hz, 12 dB an octave."""
    sides = [np.ascontiguousarray(side, dtype=np.float32) for side in x]
    return np.stack([state_variable(side, corner, 0.8, kind, float(sr)) for side in sides])


def at_level(model: np.ndarray, x: np.ndarray, sr: int) -> np.ndarray:
    """`x` as loud as `model` where they play."""
    loud = effects.active_rms(x, sr)
    return x * np.float32(effects.active_rms(model, sr) / loud) if loud else x
