"""Owns what the drummer plays: grooves, fills, and placing the kit's sounds in time.

Knows the score's grid; nothing of how a drum sounds, of other instruments or of mixing.
"""

from __future__ import annotations

import numpy as np

from server.starter.effects import pan
from server.starter.kit import TOMS, build_kit
from server.starter.score import Score, Section, playing

Hit = tuple[str, float, float]  # drum, step, velocity


def render_drums(score: Score, rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """The drum stem of a song, dry: (2, n) float32."""
    kit = build_kit(rng, sr)
    places = {name: float(rng.uniform(-0.5, 0.5)) for name in kit}
    places |= {"kick": 0.0, "snare": float(rng.uniform(-0.1, 0.1))}
    tracks = {name: np.zeros(n, dtype=np.float32) for name in kit}
    for section in playing(score, "drums"):
        pattern = draw_pattern(score, rng)
        for bar in range(section.bars):
            for drum, step, velocity in bar_hits(score, rng, section, bar, pattern):
                at = score.time(section.first_bar + bar, step) + rng.normal(0.0, 0.003)
                strike(tracks[drum], kit[drum], at, velocity, rng, sr)
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
    style = rng.choice(("straight", "floor", "broken", "half"), p=(0.4, 0.2, 0.25, 0.15))
    hits: list[Hit] = [("kick", 0, 1.0)]
    backbeats = [beat * b for b in range(score.beats) if b % 2] or [steps // 2]
    if style == "half":
        backbeats = [steps // 2]
    backing = str(rng.choice(("snare", "clap", "rim"), p=(0.75, 0.15, 0.1)))
    hits += [(backing, s, float(rng.uniform(0.85, 1.0))) for s in backbeats]
    if style == "floor":
        hits += [("kick", beat * b, 0.95) for b in range(1, score.beats)]
    else:
        chance = 0.4 if style == "broken" else 0.22
        free = [s for s in range(2, steps) if s not in backbeats and (s % 2 == 0 or chance > 0.3)]
        hits += [("kick", s, float(rng.uniform(0.7, 1))) for s in free if rng.random() < chance]
    hits += [("snare", s, 0.2) for s in range(1, steps, 2) if rng.random() < 0.08]
    return hits + timekeeping(score, rng)


def timekeeping(score: Score, rng: np.random.Generator) -> list[Hit]:
    """Hats, ride or shaker over one bar, accented on the beat."""
    beat = score.steps_per_beat
    drum = str(rng.choice(("hat", "ride", "shaker"), p=(0.7, 0.18, 0.12)))
    every = int(rng.choice((beat, beat // 2, max(1, beat // 4)), p=(0.15, 0.55, 0.3)))
    hits: list[Hit] = []
    for step in range(0, score.steps, every):
        loud = float(rng.uniform(0.7, 0.9)) if step % beat == 0 else float(rng.uniform(0.35, 0.7))
        name = "open" if drum == "hat" and rng.random() < 0.08 else drum
        hits.append((name, step, loud))
    return hits


def bar_hits(
    score: Score, rng: np.random.Generator, section: Section, bar: int, pattern: list[Hit]
) -> list[Hit]:
    """The hits of one bar: the pattern, a crash to open a section, a fill to close one."""
    last = bar == section.bars - 1 and section.bars > 1
    hits = [h for h in pattern if h[1] < score.steps // 2] if last else list(pattern)
    if bar == 0 and rng.random() < 0.7:
        hits.append(("crash", 0, 0.9))
    if last:
        for step in range(score.steps // 2, score.steps):
            if rng.random() < 0.7:
                drum = "snare" if rng.random() < 0.4 else TOMS[rng.integers(3)]
                hits.append((drum, step, float(rng.uniform(0.6, 1.0))))
    return hits
