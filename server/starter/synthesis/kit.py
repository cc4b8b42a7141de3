"""Owns how drums sound: a kit is a dictionary of mono one-shots, three takes of each drum.

Knows nothing of rhythm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType

import numpy as np

from server.starter.synthesis.filters import state_variable

TOMS = ("tom1", "tom2", "tom3")
LEVELS = MappingProxyType({  # peaks, linear
    "kick": 1.0, "snare": 0.8, "clap": 0.6, "rim": 0.4, "shaker": 0.18, "hat": 0.28,
    "open": 0.28, "ride": 0.25, "crash": 0.4, "tom1": 0.7, "tom2": 0.7, "tom3": 0.7,
})  # fmt: skip
Kit = dict[str, list[np.ndarray]]


def build_kit(rng: np.random.Generator, sr: int) -> Kit:
    """Draw a kit, of wood and bronze or a machine's: peaks near LEVELS, float32.

    A drum's takes differ in their noise alone.
    """
    pitch, tom_pitch, tone = rng.uniform(42, 68), rng.uniform(75, 120), rng.uniform(150, 240)
    dial = rng.uniform(size=(4, 4))
    wooden, bronze = rng.random(2) < 0.55
    ring = bronze_cymbal if bronze else cymbal
    makers: dict[str, Callable[[], np.ndarray]] = {
        "kick": lambda: (skin if wooden else kick)(rng, sr, pitch, dial[0]),
        "snare": lambda: snare(rng, sr, tone, dial[1]),
        "clap": lambda: clap(rng, sr),
        "rim": lambda: modes(sr, (tone * 2.4, tone * 5.1), 0.02),
        "shaker": lambda: burst(rng, sr, 5000.0 + 3000.0 * dial[2, 3], 0.035),
        "hat": lambda: ring(rng, sr, dial[2], 0.02 + 0.03 * dial[2, 3]),
        "open": lambda: ring(rng, sr, dial[2], 0.25),
        "ride": lambda: ring(rng, sr, dial[3], 0.5),
        "crash": lambda: ring(rng, sr, dial[3, ::-1], 0.9),
    }
    for rank, name in enumerate(TOMS):
        tuned = tom_pitch * (1.0 + 0.4 * rank)
        makers[name] = (
            partial(skin, rng, sr, tuned, dial[1]) if wooden else partial(tom, rng, sr, tuned)
        )
    gains = {name: LEVELS[name] * float(rng.uniform(0.75, 1.25)) for name in makers}
    return {name: [leveled(make(), gains[name]) for _ in range(3)] for name, make in makers.items()}


def fading(tau: float, sr: int, lasts: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Time in seconds and an exponential fall with time constant `tau`, `lasts` * tau long."""
    t = np.arange(int(lasts * tau * sr)) / sr
    return t, np.exp(-t / tau)


def sweep(t: np.ndarray, low: float, rise: float, tau: float) -> np.ndarray:
    """A sine whose pitch falls from low * (1 + rise) to `low` Hz with time constant `tau`."""
    return np.sin(2 * np.pi * low * (t + rise * tau * (1.0 - np.exp(-t / tau))))


def burst(rng: np.random.Generator, sr: int, corner: float, tau: float) -> np.ndarray:
    """Fading noise above `corner` Hz."""
    _, fall = fading(tau, sr)
    return state_variable(rng.standard_normal(len(fall)) * fall, corner, 0.7, 2, float(sr))


def modes(sr: int, freqs: tuple[float, ...], tau: float) -> np.ndarray:
    """Fading sines at `freqs` Hz."""
    t, fall = fading(tau, sr)
    return sum((np.sin(2 * np.pi * f * t) for f in freqs), np.zeros_like(t)) * fall


def kick(rng: np.random.Generator, sr: int, pitch: float, dial: np.ndarray) -> np.ndarray:
    """A falling sine with a click, from a dry thud to a long boom."""
    t, fall = fading(0.06 + 0.18 * dial[0], sr)
    out = np.tanh((1.0 + 2.0 * dial[3]) * sweep(t, pitch, 2.0 + 5.0 * dial[1], 0.02)) * fall
    click = burst(rng, sr, 1500.0, 0.004)
    out[: len(click)] += 0.25 * dial[2] * click
    return out


def skin(rng: np.random.Generator, sr: int, pitch: float, dial: np.ndarray) -> np.ndarray:
    """A skin over a shell, kick or tom: the modes of a round membrane, which fall in pitch as
    the stroke slackens and die the sooner the higher they are, under the beater's slap."""
    t, _ = fading(0.09 + 0.12 * dial[0], sr)
    out = np.zeros_like(t)
    for rank, ratio in enumerate((1.0, 1.59, 2.14, 2.65, 3.16)):
        tau = (0.09 + 0.12 * dial[0]) / (1.0 + 1.5 * rank)
        level = (0.3 + 0.5 * dial[3]) ** rank
        out += level * sweep(t, pitch * ratio, 0.1 + 0.3 * dial[1], 0.03) * np.exp(-t / tau)
    slap = burst(rng, sr, 400.0 + 2500.0 * dial[3], 0.006)
    out[: len(slap)] += (0.05 + 0.3 * dial[2]) * slap
    return out


def snare(rng: np.random.Generator, sr: int, tone: float, dial: np.ndarray) -> np.ndarray:
    """Two modes of the skin under the rattle of the wires."""
    wires = burst(rng, sr, 800.0 + 2000.0 * dial[0], 0.05 + 0.1 * dial[1])
    skin = modes(sr, (tone, tone * 1.6), 0.05 + 0.03 * dial[2])
    out = np.zeros(max(len(wires), len(skin)))
    out[: len(wires)] += (0.3 + 0.5 * dial[3]) * wires
    out[: len(skin)] += 0.7 * skin
    return out


def clap(rng: np.random.Generator, sr: int) -> np.ndarray:
    """Four bursts of band-passed noise a few milliseconds apart, the last one ringing."""
    t, fall = fading(0.06, sr)
    gaps = np.cumsum(rng.uniform(0.007, 0.013, size=3))
    level = sum((0.7 * np.exp(-(t - g) / 0.003) * (t >= g) for g in gaps), 0.6 * fall)
    return state_variable(rng.standard_normal(len(t)) * level, 1300.0, 1.2, 1, float(sr))


def tom(rng: np.random.Generator, sr: int, pitch: float) -> np.ndarray:
    """A falling sine with a little skin noise."""
    t, fall = fading(0.16, sr)
    out = sweep(t, pitch, 0.6, 0.05) * fall
    slap = burst(rng, sr, 900.0, 0.015)
    out[: len(slap)] += 0.12 * slap
    return out


def cymbal(rng: np.random.Generator, sr: int, dial: np.ndarray, tau: float) -> np.ndarray:
    """Inharmonic square waves and noise above a corner: hats, rides and crashes."""
    t, fall = fading(tau, sr, lasts=4.0)
    ratios = np.array([1.0, 1.34, 1.48, 1.77, 2.13, 2.67])
    phase = (320.0 + 300.0 * dial[0]) * ratios[:, None] * t + rng.uniform(size=(6, 1))
    metal = np.sign(np.sin(2 * np.pi * phase)).sum(0)
    mixed = (dial[1] * 0.4 * metal + rng.standard_normal(len(t))) * fall
    return state_variable(mixed, 4500.0 + 4000.0 * dial[2], 0.8, 2, float(sr))


def bronze_cymbal(rng: np.random.Generator, sr: int, dial: np.ndarray, tau: float) -> np.ndarray:
    """Noise in three bands, the highest loudest at first and soonest gone."""
    t, _ = fading(tau, sr, lasts=4.0)
    noise = rng.standard_normal(len(t))
    out = np.zeros_like(t)
    for low, lasts, level in ((2200.0, 1.2, 0.25), (5500.0, 1.0, 0.7), (9500.0, 0.45, 1.0)):
        band = state_variable(noise, low * (0.8 + 0.4 * dial[2]), 1.0, 1, float(sr))
        out += level * band * np.exp(-t / (lasts * tau))
    return out * np.minimum(1.0, t / (0.001 + 0.004 * dial[1]))


def leveled(x: np.ndarray, peak: float) -> np.ndarray:
    """Scale `x` to a peak, as float32, its end faded so that it does not click."""
    edge = min(len(x), 256)
    x[-edge:] *= np.linspace(1.0, 0.0, edge)
    return (x * (peak / max(1e-9, float(np.abs(x).max())))).astype(np.float32)
