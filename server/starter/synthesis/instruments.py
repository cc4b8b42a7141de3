"""Owns basses and what plays in `other`: recipes drawn at random, each a player of single notes.

Knows nothing of songs, rooms or levels.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis.players import Player, additive, fm, string, synth
from server.starter.synthesis.plucked import Pluck
from server.starter.synthesis.sounds import Bend, Patch


def organ(rng: np.random.Generator, sr: int) -> Player:
    """Nine drawbars at random settings, held without decay."""
    ratios = np.array([0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])
    gains = rng.uniform(0, 1, size=9) * (rng.uniform(size=9) < 0.6)
    gains[2] = 1.0
    return additive(sr, ratios, 0.3 * gains, 60.0, 0.02)


def mallet(rng: np.random.Generator, sr: int) -> Player:
    """A struck bar: marimba, vibraphone, glockenspiel."""
    ratios = np.array([1.0, rng.choice((2.76, 3.0, 4.0)), rng.choice((5.4, 9.2, 10.0))])
    return additive(sr, ratios, np.array([0.7, 0.25, 0.1]), rng.uniform(0.25, 1.2), 0.1)


def bass_player(rng: np.random.Generator, sr: int) -> Player:
    """A random bass: strings of many kinds, synthesised, frequency-modulated or a bare sub."""
    kind = rng.choice(("electric", "slapped", "upright", "synth", "fm", "sub"),
                      p=(0.33, 0.08, 0.1, 0.28, 0.09, 0.12))  # fmt: skip
    pickup, fourth = float(rng.uniform(0.12, 0.4)), float(rng.uniform(0.12, 0.3))
    if kind == "electric":
        bright, decay_s = float(rng.uniform(0.1, 0.6)), float(rng.uniform(2.0, 8.0))
        return string(rng, sr, Pluck(decay_s, bright, 0.08, fourth, pickup))
    if kind == "slapped":
        return string(rng, sr, Pluck(4.0, float(rng.uniform(0.85, 1.0)), 0.05, 0.1, pickup))
    if kind == "upright":
        bright, decay_s = float(rng.uniform(0.05, 0.25)), float(rng.uniform(0.8, 2.5))
        return string(rng, sr, Pluck(decay_s, bright, 0.15, fourth, 0.0, -30.0))
    if kind == "fm":
        depth_s, decay_s = rng.uniform(0.08, 0.4), rng.uniform(0.6, 2.0)
        return fm(sr, Bend(rng.choice((1, 2)), rng.uniform(1.0, 4.0), depth_s, decay_s, 0.04))
    if kind == "sub":
        ratios, gains = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.25, 0.1])
        return additive(sr, ratios, gains * rng.uniform(0.2, 1.0, size=3), 2.0, 0.03)
    patch = Patch(float(rng.integers(2)), rng.uniform(0, 18), rng.uniform(150, 700),
                  rng.uniform(0, 3.5), rng.uniform(0.05, 0.4), rng.uniform(0.7, 4.0), 0.004,
                  rng.uniform(0.1, 0.6), rng.uniform(0.4, 1.0), 0.05, 0.0)  # fmt: skip
    return synth(rng, sr, patch)


def ensemble(role: str, rng: np.random.Generator, sr: int) -> Player:
    """An instrument of `other` for a role of the orchestra."""
    makers = {"organ": organ, "mallets": mallet, "pad": pad, "brass": brass, "strings": bowed,
              "winds": flute, "lead": soloist, "saws": saws}  # fmt: skip
    return makers[role](rng, sr)


def pad(rng: np.random.Generator, sr: int) -> Player:
    """Slow, detuned, filtered: pads and strings."""
    patch = Patch(0.0, rng.uniform(8, 28), rng.uniform(500, 3500), 0.0, 1.0, 0.7,
                  rng.uniform(0.08, 0.5), 1.0, 0.9, rng.uniform(0.2, 0.7), 4.0)  # fmt: skip
    return synth(rng, sr, patch)


def saws(rng: np.random.Generator, sr: int) -> Player:
    """Bright and detuned, with a quick filter: synthesiser chords and brass."""
    patch = Patch(float(rng.integers(2)), rng.uniform(5, 30), rng.uniform(600, 4000),
                  rng.uniform(0, 3), rng.uniform(0.05, 0.5), rng.uniform(0.7, 2), 0.01,
                  rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.9), 0.1, 0.0)  # fmt: skip
    return synth(rng, sr, patch)


def bowed(rng: np.random.Generator, sr: int) -> Player:
    """A section of strings: detuned, swelling a little, with vibrato; seldom plucked."""
    if rng.random() < 0.15:
        return string(rng, sr, Pluck(0.5, float(rng.uniform(0.2, 0.6)), 0.1, 0.25, 0.0))
    patch = Patch(0.0, rng.uniform(6, 20), rng.uniform(1200, 5000), 0.3, 0.3, 0.7,
                  rng.uniform(0.03, 0.25), 1.0, 0.9, rng.uniform(0.1, 0.4),
                  rng.uniform(5, 25))  # fmt: skip
    return synth(rng, sr, patch)


def brass(rng: np.random.Generator, sr: int) -> Player:
    """Horns: a sawtooth whose filter opens with the breath and closes a little."""
    patch = Patch(0.0, rng.uniform(2, 12), rng.uniform(500, 1500), rng.uniform(1, 2.5),
                  rng.uniform(0.1, 0.5), rng.uniform(0.7, 1.2), rng.uniform(0.02, 0.07), 0.4,
                  rng.uniform(0.6, 0.9), 0.08, rng.uniform(0, 15))  # fmt: skip
    return synth(rng, sr, patch)


def flute(rng: np.random.Generator, sr: int) -> Player:
    """Something blown, from a whistle to a reed."""
    return fm(sr, Bend(float(rng.choice((1, 2))), rng.uniform(0.1, 1.5), 5.0, 8.0, 0.06))


def soloist(rng: np.random.Generator, sr: int) -> Player:
    """A lead synthesiser."""
    patch = Patch(float(rng.integers(2)), rng.uniform(0, 15), rng.uniform(900, 5000),
                  rng.uniform(0, 2), rng.uniform(0.1, 0.5), rng.uniform(0.7, 3), 0.01,
                  0.4, rng.uniform(0.5, 1.0), 0.08, rng.uniform(0, 30))  # fmt: skip
    return synth(rng, sr, patch)
