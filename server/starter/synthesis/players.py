"""Owns the kinds of instrument: each turns its settings into a player of single notes.

Knows notes and the loops that sound them; not which instruments there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from server.starter.synthesis.plucked import Pluck, pluck_note
from server.starter.synthesis.score import Note
from server.starter.synthesis.sounds import (
    Bend,
    Event,
    Partials,
    Patch,
    fm_note,
    partials_note,
    synth_note,
)

Player = Callable[[np.ndarray, Event], None]  # adds one note to a mono float32 track


def perform(play: Player, notes: list[Note], n: int, sr: int) -> np.ndarray:
    """Play `notes` into a fresh mono track (n,) float32; what lies past its end is cut."""
    track = np.zeros(n, dtype=np.float32)
    for note in notes:
        start = max(0, int(note.start * sr))
        hertz = 440.0 * 2.0 ** ((note.pitch - 69.0) / 12.0)
        if start < n:
            play(track, Event(start, float(note.length), float(hertz), float(note.velocity)))
    return track


def synth(rng: np.random.Generator, sr: int, patch: Patch) -> Player:
    """A subtractive synthesiser."""
    settled = Patch(*map(float, patch))  # one compiled loop for numpy's scalars and Python's

    def play(track: np.ndarray, event: Event) -> None:
        synth_note(track, event, settled, rng.uniform(size=3), float(sr))

    return play


def string(rng: np.random.Generator, sr: int, pluck: Pluck) -> Player:
    """A plucked string, brighter when played louder: guitars, upright and electric basses."""

    def play(track: np.ndarray, event: Event) -> None:
        noise = rng.uniform(-1.0, 1.0, size=int(sr / event.hertz) + 4)
        shaped = pluck._replace(bright=pluck.bright * (0.5 + 0.5 * event.gain))
        pluck_note(track, event, shaped, noise, float(sr))

    return play


def fm(sr: int, bend: Bend) -> Player:
    """Two sines, one bending the other: electric pianos, bells, hard basses."""
    settled = Bend(*map(float, bend))

    def play(track: np.ndarray, event: Event) -> None:
        shaped = settled._replace(depth=settled.depth * (0.4 + 0.6 * event.gain))
        fm_note(track, event, shaped, float(sr))

    return play


def additive(sr: int, ratios: np.ndarray, gains: np.ndarray, decay_s: float, off: float) -> Player:
    """Sines at `ratios` of the pitch, higher ones dying sooner: pianos, organs, mallets."""
    partials = Partials(ratios.astype(float), gains, float(decay_s) / np.sqrt(ratios), off)

    def play(track: np.ndarray, event: Event) -> None:
        partials_note(track, event, partials, float(sr))

    return play


def layered(*players: Player) -> Player:
    """All of `players` at once."""

    def play(track: np.ndarray, event: Event) -> None:
        for player in players:
            player(track, event)

    return play
