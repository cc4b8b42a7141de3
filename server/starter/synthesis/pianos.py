"""Owns pianos: struck strings of wood and iron, and the electric ones. Not what they play.

Each recipe is drawn at random and is a player of single notes.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis.filters import state_variable
from server.starter.synthesis.players import Player, fm, layered
from server.starter.synthesis.sounds import Bend, Event, Partials, partials_note


def keyboard(rng: np.random.Generator, sr: int) -> tuple[bool, Player]:
    """A piano, or in one case of three an electric one; whether it is electric, and its player."""
    electric = bool(rng.random() < 0.33)
    return electric, (electric_piano(rng, sr) if electric else piano(rng, sr))


def piano(rng: np.random.Generator, sr: int) -> Player:
    """From a grand to a tired upright: stretched partials in two decays, under a hammer's knock.

    Inharmonicity grows with the pitch (Fletcher, Blackham and Stratton, 1962); strings of a pair
    part slowly, so a quick fall is followed by a slow one (Weinreich, 1977).
    """
    stretch, comb = rng.uniform(1.5e-4, 7e-4), rng.uniform(6.5, 9.0)
    slope, cutoff = rng.uniform(0.6, 1.2), rng.uniform(900.0, 4000.0)
    lasts, release = rng.uniform(0.6, 2.2), float(rng.uniform(0.04, 0.12))
    cents, after = rng.uniform(0.3, 4.0), rng.uniform(0.1, 0.3)
    knock = hammer(rng, sr) * float(rng.uniform(0.0, 0.3))

    def play(track: np.ndarray, event: Event) -> None:
        octave = np.log2(event.hertz / 261.6)
        k = np.arange(1, max(3, min(28, int(9000.0 / event.hertz))) + 1)
        ratios = k * np.sqrt(1.0 + stretch * 2.0 ** (1.3 * octave) * k**2)
        touch = cutoff * (0.35 + event.gain)
        gains = (
            (0.1 + np.abs(np.sin(np.pi * k / comb))) / k**slope * np.exp(-k * event.hertz / touch)
        )
        decays = lasts * 2.0 ** (-0.7 * octave) / (1.0 + 0.12 * k)
        slow = slice(0, 8)
        partials = Partials(
            np.concatenate([ratios, ratios[slow] * 2.0 ** (cents / 1200.0)]),
            0.7 * np.concatenate([gains, after * gains[slow]]),
            np.concatenate([0.4 * decays, 1.6 * decays[slow]]), release,
        )  # fmt: skip
        partials_note(track, event, partials, float(sr))
        struck = knock[: len(track) - event.start]
        track[event.start : event.start + len(struck)] += np.float32(event.gain**2) * struck

    return play


def hammer(rng: np.random.Generator, sr: int) -> np.ndarray:
    """The knock of key and hammer on the frame: low, short, of peak 1."""
    n = int(0.08 * sr)
    noise = rng.standard_normal(n) * np.exp(-np.arange(n) / (rng.uniform(0.004, 0.015) * sr))
    knock = state_variable(noise, float(rng.uniform(120, 900)), 1.0, 1, float(sr))
    return (knock / np.abs(knock).max()).astype(np.float32)


def electric_piano(rng: np.random.Generator, sr: int) -> Player:
    """A tine, a reed, or a synthesiser's glassy idea of one: layers of two-operator FM."""
    decay_s = float(rng.uniform(0.8, 3.0))
    kind = rng.choice(("tine", "reed", "glass"))
    if kind == "reed":
        return fm(sr, Bend(1.0, rng.uniform(0.8, 2.2), rng.uniform(0.2, 0.8), 0.6 * decay_s, 0.05))
    ratio = 14.0 if kind == "tine" else float(rng.choice((5.0, 7.0, 11.0)))
    bell = Bend(ratio, rng.uniform(0.2, 0.9), rng.uniform(0.03, 0.25), decay_s, 0.08)
    body = Bend(1.0, rng.uniform(0.2, 1.2), rng.uniform(0.2, 0.8), decay_s, 0.08)
    return layered(fm(sr, bell), fm(sr, body))
