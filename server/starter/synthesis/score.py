"""Owns the frame of a song: tempo, metre, key, sections and chords.

Pure numbers from a random generator; knows nothing of sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SCALES = (
    (0, 2, 4, 5, 7, 9, 11),  # major
    (0, 2, 3, 5, 7, 8, 10),  # minor
    (0, 2, 3, 5, 7, 9, 10),  # dorian
    (0, 2, 4, 5, 7, 9, 10),  # mixolydian
)
PROGRESSIONS = (
    (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (0, 3, 0, 4), (0, 0, 3, 4),
    (0, 6, 3, 0), (1, 4, 0, 0), (0, 2, 3, 4), (5, 4, 3, 4), (0, 1, 3, 4), (3, 0, 4, 5),
)  # fmt: skip
# beats in a bar, grid steps in a beat, slowest and fastest tempo in beats a minute
METRES = ((4, 4, 62, 176), (3, 4, 70, 170), (2, 6, 44, 80), (4, 3, 58, 150), (5, 4, 80, 160))
PARTS = ("drums", "bass", "chords", "lead", "vocals", "guitar", "piano")
# name, share of the song, chance that each of PARTS plays
FORM = (
    ("intro", 4, (0.55, 0.45, 0.80, 0.45, 0.15, 0.70, 0.70)),
    ("verse", 8, (0.90, 0.90, 0.75, 0.30, 0.90, 0.75, 0.75)),
    ("chorus", 8, (1.00, 1.00, 1.00, 0.50, 1.00, 1.00, 1.00)),
    ("verse", 8, (0.90, 0.90, 0.75, 0.30, 0.90, 0.75, 0.75)),
    ("chorus", 8, (0.95, 0.95, 0.90, 0.55, 0.95, 0.90, 0.85)),
    ("bridge", 4, (0.60, 0.60, 0.60, 0.60, 0.45, 0.65, 0.70)),
    ("chorus", 8, (0.95, 0.95, 0.90, 0.60, 0.95, 0.90, 0.85)),
    ("outro", 4, (0.60, 0.60, 0.75, 0.45, 0.35, 0.70, 0.70)),
)


class Note(NamedTuple):
    """One note: start and length in seconds, MIDI pitch, velocity 0..1."""

    start: float
    length: float
    pitch: float
    velocity: float


class Section(NamedTuple):
    """A run of bars with one texture; `chords` holds a scale degree for each bar."""

    name: str
    first_bar: int
    bars: int
    parts: frozenset[str]
    chords: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """The frame of one song: its time grid, its key and its sections."""

    bpm: float
    beats: int
    steps_per_beat: int
    swing: float
    key: int
    scale: tuple[int, ...]
    sections: tuple[Section, ...]

    @property
    def steps(self) -> int:
        """Grid steps in a bar."""
        return self.beats * self.steps_per_beat

    def time(self, bar: int, step: float) -> float:
        """Seconds at which a (possibly fractional) step of a bar begins, swing included."""
        late = self.swing if int(step) % 2 else 0.0
        return (bar * self.beats + (step + late) / self.steps_per_beat) * 60.0 / self.bpm

    def span(self, steps: float) -> float:
        """Seconds that `steps` grid steps last."""
        return steps / self.steps_per_beat * 60.0 / self.bpm

    def pitch(self, degree: int) -> int:
        """MIDI pitch of a scale degree, degree 0 lying in the octave from C4 up."""
        octave, index = divmod(degree, len(self.scale))
        return 60 + self.key + self.scale[index] + 12 * octave


def compose(rng: np.random.Generator, seconds: float) -> Score:
    """Draw a song's frame that fills `seconds`; its first chorus has every part in it."""
    beats, steps_per_beat, slowest, fastest = METRES[
        rng.choice(5, p=(0.74, 0.08, 0.08, 0.07, 0.03))
    ]
    bpm = float(rng.uniform(slowest, fastest))
    bars = max(1, int(seconds * bpm / 60.0 / beats))
    swing = float(rng.uniform(0.1, 0.33)) if rng.random() < 0.25 else 0.0
    scale = SCALES[rng.choice(4, p=(0.4, 0.35, 0.13, 0.12))]
    sections = tuple(arrange(rng, bars))
    return Score(bpm, beats, steps_per_beat, swing, int(rng.integers(-6, 6)), scale, sections)


def arrange(rng: np.random.Generator, bars: int) -> list[Section]:
    """Cut `bars` into the sections of FORM; a song too short for all of it is one chorus."""
    total = sum(share for _, share, _ in FORM)
    edges = np.round(np.cumsum([0] + [s for _, s, _ in FORM]) * bars / total).astype(int)
    chords = {n: PROGRESSIONS[rng.integers(len(PROGRESSIONS))] for n, _, _ in FORM}
    sections: list[Section] = []
    for (name, _, chances), first, last in zip(FORM, edges[:-1], edges[1:], strict=True):
        playing = frozenset(p for p, c in zip(PARTS, chances, strict=True) if rng.random() < c)
        if name != "chorus" and rng.random() < 0.2:  # a break: one or two parts alone
            playing = frozenset(rng.choice(PARTS, size=rng.integers(1, 3), replace=False).tolist())
        if last > first:
            order = tuple(chords[name][b % 4] for b in range(last - first))
            sections.append(Section(name, int(first), int(last - first), playing, order))
    if bars < len(FORM):
        return [Section("chorus", 0, bars, frozenset(PARTS), tuple([chords["chorus"][0]] * bars))]
    return sections


def playing(score: Score, part: str) -> list[Section]:
    """The sections in which `part` plays."""
    return [s for s in score.sections if part in s.parts]
