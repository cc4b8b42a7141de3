"""Owns guitars: which strings they have and how a hand treats them. Not what they play.

Each recipe is drawn at random and is a player of single notes.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis.players import Player, string
from server.starter.synthesis.plucked import Pluck, pluck_note
from server.starter.synthesis.sounds import Event

CHOKED = 0.15  # seconds: shorter notes are muted by the palm


def acoustic(rng: np.random.Generator, sr: int) -> Player:
    """Nylon or steel strings, heard as a whole."""
    bright = float(rng.uniform(0.25, 0.6) if rng.random() < 0.35 else rng.uniform(0.6, 1.0))
    return string(rng, sr, Pluck(float(rng.uniform(1.0, 4.5)), bright, 0.12,
                                 float(rng.uniform(0.1, 0.35)), 0.0))  # fmt: skip


def electric(rng: np.random.Generator, sr: int) -> Player:
    """Steel over a pickup near the bridge or the neck; short notes are muted by the palm."""
    ringing = Pluck(float(rng.uniform(2.0, 7.0)), float(rng.uniform(0.4, 1.0)), 0.1,
                    float(rng.uniform(0.06, 0.3)), float(rng.uniform(0.04, 0.3)))  # fmt: skip
    muted = ringing._replace(decay_s=float(rng.uniform(0.15, 0.5)), damp_s=0.04,
                             bright=0.45 * ringing.bright)  # fmt: skip
    open_hand, palm = string(rng, sr, ringing), string(rng, sr, muted)

    def play(track: np.ndarray, event: Event) -> None:
        (palm if event.gate < CHOKED else open_hand)(track, event)

    return play


def soloing(rng: np.random.Generator, sr: int) -> Player:
    """An electric guitar that sings: some notes are bent up into, long ones have vibrato."""
    base = Pluck(float(rng.uniform(5.0, 12.0)), float(rng.uniform(0.5, 0.9)), 0.08,
                 float(rng.uniform(0.08, 0.2)), float(rng.uniform(0.05, 0.3)),
                 0.0, float(rng.uniform(5.0, 35.0)))  # fmt: skip
    depth = float(rng.choice((-100.0, -200.0)))

    def play(track: np.ndarray, event: Event) -> None:
        noise = rng.uniform(-1.0, 1.0, size=int(sr / event.hertz) + 4)
        bend = depth if rng.random() < 0.3 else 0.0
        pluck_note(track, event, base._replace(bend=bend), noise, float(sr))

    return play
