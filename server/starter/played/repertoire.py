"""Owns which songs training hears on machines with instruments and voices from outside.

Knows seeds and the share of composed songs; not how a song is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from server.starter.played.composed import play_composed
from server.starter.played.midi import composed_songs
from server.starter.played.orchestra import Orchestra, training_orchestra
from server.starter.songs import synthesise

COMPOSED = 0.4  # of the songs are by composers, where their files are at hand


class Repertoire(NamedTuple):
    """Who plays, and the MIDI files to play from, by name."""

    orchestra: Orchestra
    composed: Mapping[str, bytes]


@cache
def repertoire() -> Repertoire:
    """What this machine has for training, looked up once. Raises FileNotFoundError."""
    try:
        composed = composed_songs(heard=True)
    except FileNotFoundError:
        composed = {}
    return Repertoire(training_orchestra(), composed)


def training_song(seed: int, seconds: float, sr: int = 44100) -> dict[str, np.ndarray]:
    """Song number `seed` of training, as `songs.synthesise` gives them: composed by the project
    or by people, on the instruments and by the voices of this machine.

    Equal arguments give equal samples where equal packages are installed.
    Raises FileNotFoundError naming what must be installed.
    """
    orchestra, composed = repertoire()
    rng = np.random.default_rng((seed, 0xC0))
    if composed and rng.random() < COMPOSED:
        data = composed[sorted(composed)[int(rng.integers(len(composed)))]]
        return play_composed(data, seconds, sr, orchestra, rng)
    return synthesise(seed, seconds, sr, orchestra)
