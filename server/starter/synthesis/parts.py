"""Owns what the pitched parts play: bass figures, chord patterns and tunes over a score.

Pure numbers from a random generator; knows nothing of sound.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis.score import Note, Score, playing


def bass_line(score: Score, rng: np.random.Generator) -> list[Note]:
    """The bass: one of five figures, kept for the song, on the chord's root and its kin."""
    figure = int(rng.integers(5))
    low = int(rng.integers(28, 36))
    every = score.steps_per_beat // 2
    notes: list[Note] = []
    for section in playing(score, "bass"):
        groove = rng.random(score.steps) < 0.35
        for index, degree in enumerate(section.chords):
            bar = section.first_bar + index
            root = low + (score.pitch(degree) - low) % 12
            for step, length, leap in figure_steps(figure, score, groove, every):
                pitch = root + (leap if rng.random() < 0.8 else 0)
                held = score.span(length) * float(rng.uniform(0.7, 0.98))
                notes.append(Note(score.time(bar, step), held, pitch, rng.uniform(0.7, 1.0)))
    return notes


def figure_steps(
    figure: int, score: Score, groove: np.ndarray, every: int
) -> list[tuple[int, int, int]]:
    """(step, length in steps, semitones above the root) of a bass figure's bar."""
    steps, beat = score.steps, score.steps_per_beat
    if figure == 0:
        return [(0, steps, 0)]
    if figure == 1:
        return [(s, every, 0) for s in range(0, steps, every)]
    if figure == 2:
        leaps = (0, 7, 12, 7)
        return [(s, beat, leaps[s // beat % 4]) for s in range(0, steps, beat)]
    if figure == 3:
        return [(s, every, 12 * (s // every % 2)) for s in range(0, steps, every)]
    hits = [0] + [s for s in range(1, steps) if groove[s]]
    ends = hits[1:] + [steps]
    return [
        (a, b - a, 7 if a % beat and a % 3 == 0 else 0) for a, b in zip(hits, ends, strict=True)
    ]


def chord_part(
    score: Score, rng: np.random.Generator, style: str, centre: int, part: str = "chords"
) -> list[Note]:
    """Chords near `centre`: `held` for a bar, `comped` in a rhythm, or `broken` into notes."""
    size = int(rng.integers(3, 5))
    beat = score.steps_per_beat
    unit = beat // 2 if rng.random() < 0.7 else max(1, beat // 4)
    notes: list[Note] = []
    for section in playing(score, part):
        groove = [0] + [s for s in range(beat // 2, score.steps, beat // 2) if rng.random() < 0.5]
        for index, degree in enumerate(section.chords):
            bar = section.first_bar + index
            pitches = voicing(score, degree, size, centre)
            if style == "broken":
                hits = [(s, unit * 2, [pitches[s // unit % size]])
                        for s in range(0, score.steps, unit)]  # fmt: skip
            elif style == "comped":
                ends = groove[1:] + [score.steps]
                hits = [(a, b - a, pitches) for a, b in zip(groove, ends, strict=True)]
            else:
                hits = [(0, score.steps, pitches)]
            for step, length, together in hits:
                loud = float(rng.uniform(0.6, 1.0))
                for rank, pitch in enumerate(together):
                    at = score.time(bar, step) + 0.012 * rank * (style == "comped")
                    notes.append(Note(at, score.span(length) * 0.95, pitch, loud))
    return notes


def left_hand(score: Score, rng: np.random.Generator, part: str) -> list[Note]:
    """A pianist's left hand: roots, alone or in octaves, by the bar or by the half."""
    low, doubled = int(rng.integers(36, 44)), rng.random() < 0.5
    halves = int(rng.integers(1, 3))
    notes: list[Note] = []
    for section in playing(score, part):
        for index, degree in enumerate(section.chords):
            root = low + (score.pitch(degree) - low) % 12
            for half in range(halves):
                at = score.time(section.first_bar + index, half * score.steps // halves)
                held = score.span(score.steps / halves) * 0.95
                pitches = (root, root + 12) if doubled else (root,)
                notes += [Note(at, held, p, float(rng.uniform(0.6, 0.9))) for p in pitches]
    return notes


def voicing(score: Score, degree: int, size: int, centre: int) -> list[int]:
    """A chord of stacked thirds on a degree, each pitch moved near `centre`, low to high."""
    stack = [score.pitch(degree + 2 * k) for k in range(size)]
    return sorted(centre - 6 + (p - centre + 6) % 12 for p in stack)


def melody(score: Score, rng: np.random.Generator, part: str, reach: tuple[int, int]) -> list[Note]:
    """A tune within the MIDI range `reach`: phrases of two bars, most with a rest at the end."""
    notes: list[Note] = []
    low, high = reach
    busy = float(rng.uniform(0.3, 0.75))
    degree = int(rng.integers(0, 5))
    for section in playing(score, part):
        motif = rhythm(score, rng, busy)
        for index, chord in enumerate(section.chords):
            if rng.random() < 0.3:
                motif = rhythm(score, rng, busy)
            rest = score.steps * 3 // 4 if index % 2 and rng.random() < 0.7 else score.steps
            for step, length in motif:
                if step >= rest:
                    continue
                degree += int(rng.choice((-2, -1, -1, 0, 1, 1, 2)))
                if step == 0:
                    degree = chord + 2 * round((degree - chord) / 2)
                pitch = score.pitch(degree)
                while pitch > high:
                    pitch, degree = pitch - 12, degree - 7
                while pitch < low:
                    pitch, degree = pitch + 12, degree + 7
                at = score.time(section.first_bar + index, step)
                held = score.span(length) * float(rng.uniform(0.8, 1.0))
                notes.append(Note(at, held, pitch, rng.uniform(0.65, 1.0)))
    return notes


def rhythm(score: Score, rng: np.random.Generator, busy: float) -> list[tuple[int, int]]:
    """(step, length) of a bar's tune: half-beat cells, each begun with chance `busy`."""
    cell = max(1, score.steps_per_beat // 2)
    hits = [s for s in range(0, score.steps, cell) if s == 0 or rng.random() < busy]
    ends = hits[1:] + [score.steps]
    return [(a, min(b - a, 2 * score.steps_per_beat)) for a, b in zip(hits, ends, strict=True)]


def recited(score: Score, rng: np.random.Generator, part: str, centre: float) -> list[Note]:
    """Spoken in rhythm near the pitch `centre`: phrases of a bar that fall, and pauses."""
    cell = max(1, score.steps_per_beat // (4 if score.bpm < 110 else 2))
    notes: list[Note] = []
    for section in playing(score, part):
        for bar in range(section.first_bar, section.first_bar + section.bars):
            spoken = int(score.steps * rng.uniform(0.5, 1.0))
            for step in range(0, spoken, cell):
                if rng.random() < 0.2:
                    continue
                pitch = centre + 3.0 - 5.0 * step / score.steps + float(rng.normal(0.0, 1.2))
                loud = float(rng.uniform(0.5, 1.0))
                notes.append(Note(score.time(bar, step), 0.9 * score.span(cell), pitch, loud))
    return notes


def pedalled(score: Score, notes: list[Note]) -> list[Note]:
    """The same notes with the pedal held down: each lasts to the end of its bar."""
    bar = score.span(score.steps)
    return [m._replace(length=max(m.length, 0.97 * bar - m.start % bar)) for m in notes]
