"""Owns what guitarists play: strummed and picked chords, and riffs, over a score.

Pure numbers from a random generator; knows nothing of sound.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis.score import Note, Score, playing

STRINGS = (40, 45, 50, 55, 59, 64)  # open, as MIDI pitches


def fretted(score: Score, degree: int, capo: int) -> list[int]:
    """A triad on six strings, each at its first fret at or above `capo` that fits; low to high."""
    triad = [score.pitch(degree + 2 * k) for k in range(3)]
    return [nut + capo + min((tone - nut - capo) % 12 for tone in triad) for nut in STRINGS]


def strummed(score: Score, rng: np.random.Generator, part: str) -> list[Note]:
    """Chords strummed in one pattern: down on the beat, up, lighter and shorter, between."""
    unit, capo = max(1, score.steps_per_beat // 2), int(rng.integers(0, 6))
    sweep = float(rng.uniform(0.004, 0.02))
    strokes = [
        s
        for s in range(0, score.steps, unit)
        if s == 0 or rng.random() < (0.85 if s % score.steps_per_beat == 0 else 0.55)
    ]
    ends = strokes[1:] + [score.steps]
    notes: list[Note] = []
    for section in playing(score, part):
        for index, degree in enumerate(section.chords):
            chord = fretted(score, degree, capo)
            for step, end in zip(strokes, ends, strict=True):
                down = step % score.steps_per_beat == 0
                at = score.time(section.first_bar + index, step) + abs(rng.normal(0.0, 0.006))
                loud = float(rng.uniform(0.75, 1.0) if down else rng.uniform(0.4, 0.75))
                held = score.span(end - step)
                struck = chord if down else chord[:1:-1]
                notes += [Note(at + rank * sweep, held, pitch, loud)
                          for rank, pitch in enumerate(struck)]  # fmt: skip
    return notes


def picked(score: Score, rng: np.random.Generator, part: str) -> list[Note]:
    """Chords taken apart by the fingers: one pattern of strings, the thumb on each beat."""
    unit, capo = max(1, score.steps_per_beat // 2), int(rng.integers(0, 6))
    if rng.random() < 0.3:
        unit = max(1, unit // 2)
    hits = range(0, score.steps, unit)
    strings = [int(rng.integers(0, 3)) if s % score.steps_per_beat == 0
               else int(rng.integers(2, 6)) for s in hits]  # fmt: skip
    notes: list[Note] = []
    for section in playing(score, part):
        for index, degree in enumerate(section.chords):
            chord = fretted(score, degree, capo)
            for step, string in zip(hits, strings, strict=True):
                at = score.time(section.first_bar + index, step)
                held = score.span(min(4 * unit, score.steps - step))
                notes.append(Note(at, held, chord[string], float(rng.uniform(0.6, 1.0))))
    return notes


def riff(score: Score, rng: np.random.Generator, part: str) -> list[Note]:
    """Power chords low on the neck: eighths, some of them choked, some left to ring."""
    low, every = int(rng.integers(38, 44)), max(1, score.steps_per_beat // 2)
    notes: list[Note] = []
    for section in playing(score, part):
        groove = rng.choice((0.3, 0.9, 0.0), size=score.steps, p=(0.4, 0.4, 0.2))
        groove[0] = 0.9
        for index, degree in enumerate(section.chords):
            root = low + (score.pitch(degree) - low) % 12
            for step in range(0, score.steps, every):
                held = score.span(every) * float(groove[step])
                at = score.time(section.first_bar + index, step)
                loud = float(rng.uniform(0.7, 1.0))
                notes += [Note(at, held, root + up, loud) for up in (0, 7, 12) if held > 0.0]
    return notes
