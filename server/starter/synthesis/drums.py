"""Owns what the drummer plays: grooves, fills, and placing the kit's sounds in time.

Knows the score's grid; nothing of how a drum sounds, of other instruments or of mixing.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from server.starter.synthesis.effects import pan
from server.starter.synthesis.kit import TOMS, build_kit
from server.starter.synthesis.score import Note, Score, Section, playing

Hit = tuple[str, float, float]  # drum, step, velocity
KEYS = MappingProxyType({  # General MIDI's percussion keys
    "kick": 36, "snare": 38, "clap": 39, "rim": 37, "shaker": 70, "hat": 42, "open": 46,
    "ride": 51, "crash": 49, "tom1": 41, "tom2": 45, "tom3": 48,
})  # fmt: skip


def drum_part(score: Score, rng: np.random.Generator) -> list[Note]:
    """A song's drums as General MIDI keys; sections of one name share a groove."""
    notes: list[Note] = []
    late = float(rng.choice((0.0, 0.003, 0.008), p=(0.25, 0.5, 0.25)))
    grooves: dict[str, list[Hit]] = {}
    for section in playing(score, "drums"):
        groove = grooves.setdefault(section.name, draw_pattern(score, rng))
        for bar in range(section.bars):
            for drum, step, velocity in bar_hits(score, rng, section, bar, groove):
                at = score.time(section.first_bar + bar, step) + rng.normal(0.0, late)
                notes.append(Note(max(0.0, float(at)), 0.3, KEYS[drum], velocity))
    return notes


def render_drums(notes: list[Note], rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """Play General MIDI `notes` on a kit drawn at random, dry: (2, n) float32."""
    kit = build_kit(rng, sr)
    places = {name: float(rng.uniform(-0.5, 0.5)) for name in kit}
    places |= {"kick": 0.0, "snare": float(rng.uniform(-0.1, 0.1))}
    tracks = {name: np.zeros(n, dtype=np.float32) for name in kit}
    names = {key: drum for drum, key in KEYS.items()}
    for note in notes:
        drum = names[int(note.pitch)]
        strike(tracks[drum], kit[drum], note.start, note.velocity, rng, sr)
    return sum((pan(tracks[d], places[d]) for d in kit), np.zeros((2, n), np.float32))


def strike(
    track: np.ndarray,
    takes: list[np.ndarray],
    at: float,
    velocity: float,
    rng: np.random.Generator,
    sr: int,
) -> None:
    """Add one of a drum's takes to its track at `at` seconds."""
    start = max(0, int(at * sr))
    take = takes[rng.integers(len(takes))][: max(0, len(track) - start)]
    track[start : start + len(take)] += np.float32(velocity) * take


def draw_pattern(score: Score, rng: np.random.Generator) -> list[Hit]:
    """One bar of groove: kick, backbeat, time-keeping cymbal and the odd ghost note."""
    steps, beat = score.steps, score.steps_per_beat
    style = rng.choice(("straight", "floor", "broken", "half", "tresillo"),
                       p=(0.36, 0.2, 0.22, 0.12, 0.1))  # fmt: skip
    hits: list[Hit] = [("kick", 0, 1.0)]
    backbeats = [beat * b for b in range(score.beats) if b % 2] or [steps // 2]
    if style == "half":
        backbeats = [steps // 2]
    backing = str(rng.choice(("snare", "clap", "rim"), p=(0.75, 0.15, 0.1)))
    hits += [(backing, s, float(rng.uniform(0.85, 1.0))) for s in backbeats]
    if style == "floor":
        hits += [("kick", beat * b, 0.95) for b in range(1, score.beats)]
    elif style == "tresillo":
        hits += [("kick", s, 0.9) for s in range(3, steps, 3) if s % 8 in (3, 6)]
    else:
        chance = 0.4 if style == "broken" else 0.22
        free = [s for s in range(2, steps) if s not in backbeats and (s % 2 == 0 or chance > 0.3)]
        hits += [("kick", s, float(rng.uniform(0.7, 1))) for s in free if rng.random() < chance]
    ghosts = float(rng.choice((0.0, 0.08, 0.3), p=(0.4, 0.4, 0.2)))
    hits += [("snare", s, 0.2) for s in range(1, steps, 2) if rng.random() < ghosts]
    return hits + timekeeping(score, rng)


def timekeeping(score: Score, rng: np.random.Generator) -> list[Hit]:
    """Hats, ride, shaker or a low tom over one bar, accented on the beat; seldom none of them."""
    beat = score.steps_per_beat
    drum = str(rng.choice(("hat", "ride", "shaker", "open", "tom1", "none"),
                          p=(0.62, 0.15, 0.08, 0.05, 0.03, 0.07)))  # fmt: skip
    every = int(rng.choice((beat, beat // 2, max(1, beat // 4)), p=(0.15, 0.55, 0.3)))
    pumping = drum == "hat" and rng.random() < 0.12  # open between the beats, as in house
    hits: list[Hit] = []
    for step in range(0, score.steps, every) if drum != "none" else ():
        loud = float(rng.uniform(0.7, 0.9)) if step % beat == 0 else float(rng.uniform(0.35, 0.7))
        opened = step % beat == beat // 2 if pumping else rng.random() < 0.06
        hits.append(("open" if drum == "hat" and opened else drum, step, loud))
    return hits


def bar_hits(
    score: Score, rng: np.random.Generator, section: Section, bar: int, pattern: list[Hit]
) -> list[Hit]:
    """The hits of one bar: the pattern, a crash to open a section, a fill to close one."""
    hits = list(pattern)
    if bar == section.bars - 1 and section.bars > 1:
        first = int(rng.choice((score.steps // 2, score.steps - score.steps_per_beat)))
        hits = [h for h in pattern if h[1] < first] + fill(score, rng, first)
    if bar == 0 and rng.random() < 0.7:
        hits.append(("crash", 0, 0.9))
    return hits


def fill(score: Score, rng: np.random.Generator, first: int) -> list[Hit]:
    """From step `first` to the bar's end: down the toms, a rising roll, at random, or nothing."""
    steps = range(first, score.steps)
    kind = rng.choice(("toms", "roll", "scattered", "stop"), p=(0.3, 0.25, 0.33, 0.12))
    if kind == "stop":
        return [("kick", first, 1.0)]
    share = [(s - first) / len(steps) for s in steps]
    if kind == "roll":
        return [("snare", s, 0.4 + 0.6 * part) for s, part in zip(steps, share, strict=True)]
    if kind == "toms":
        order = ("snare", *reversed(TOMS))
        return [(order[int(4 * part)], s, float(rng.uniform(0.75, 1.0)))
                for s, part in zip(steps, share, strict=True)]  # fmt: skip
    return [("snare" if rng.random() < 0.4 else TOMS[rng.integers(3)], s,
             float(rng.uniform(0.6, 1.0))) for s in steps if rng.random() < 0.7]  # fmt: skip
