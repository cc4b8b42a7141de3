"""Owns the pitched instruments: recipes drawn at random, each a player of single notes.

Knows nothing of songs, rooms or levels.
"""

from __future__ import annotations

import numpy as np

from server.starter.players import Player, additive, fm, string, synth
from server.starter.sounds import Bend, Patch


def epiano(rng: np.random.Generator, sr: int) -> Player:
    """A tine and its bell-like overtone."""
    depth_s, decay_s = rng.uniform(0.1, 0.6), rng.uniform(0.8, 2.5)
    return fm(sr, Bend(rng.choice((1, 2, 7, 14)), rng.uniform(0.4, 2), depth_s, decay_s, 0.08))


def piano(rng: np.random.Generator, sr: int) -> Player:
    """Slightly stretched partials with a comb from the hammer's place."""
    k = np.arange(1, 16)
    stretch = float(rng.uniform(1e-4, 6e-4))
    gains = np.abs(np.sin(np.pi * k / rng.uniform(6.5, 8.5))) / k ** rng.uniform(0.9, 1.5)
    return additive(sr, k * np.sqrt(1 + stretch * k**2), 0.5 * gains, rng.uniform(0.6, 1.6), 0.06)


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
    """A random bass: plucked, synthesised, frequency-modulated or a bare sub."""
    kind = rng.choice(("pluck", "synth", "fm", "sub"), p=(0.4, 0.35, 0.1, 0.15))
    if kind == "pluck":
        return string(rng, sr, float(rng.uniform(1.5, 5.0)), float(rng.uniform(0.15, 0.8)))
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


def chord_player(rng: np.random.Generator, sr: int) -> tuple[str, Player]:
    """A random chord instrument and how it likes to play: held, comped or broken."""
    kind = rng.choice(("guitar", "epiano", "piano", "organ", "pad", "saws", "mallet"),
                      p=(0.24, 0.13, 0.18, 0.12, 0.13, 0.12, 0.08))  # fmt: skip
    style = str(rng.choice(("held", "comped", "broken"), p=(0.25, 0.45, 0.3)))
    if kind == "guitar":
        return style, string(rng, sr, float(rng.uniform(1, 4)), float(rng.uniform(0.3, 0.95)))
    if kind == "epiano":
        return style, epiano(rng, sr)
    if kind == "piano":
        return style, piano(rng, sr)
    if kind == "organ":
        return style, organ(rng, sr)
    if kind == "mallet":
        return "broken", mallet(rng, sr)
    return ("held", pad(rng, sr)) if kind == "pad" else (style, saws(rng, sr))


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


def lead_player(rng: np.random.Generator, sr: int) -> Player:
    """A random solo instrument: synthesiser, guitar, bell or flute-like sine."""
    kind = rng.choice(("synth", "guitar", "mallet", "flute"), p=(0.45, 0.3, 0.1, 0.15))
    if kind == "guitar":
        return string(rng, sr, float(rng.uniform(2, 6)), float(rng.uniform(0.6, 1.0)))
    if kind == "mallet":
        return mallet(rng, sr)
    if kind == "flute":
        return fm(sr, Bend(1.0, float(rng.uniform(0.1, 0.6)), 5.0, 8.0, 0.06))
    patch = Patch(float(rng.integers(2)), rng.uniform(0, 15), rng.uniform(900, 5000),
                  rng.uniform(0, 2), rng.uniform(0.1, 0.5), rng.uniform(0.7, 3), 0.01,
                  0.4, rng.uniform(0.5, 1.0), 0.08, rng.uniform(0, 30))  # fmt: skip
    return synth(rng, sr, patch)
