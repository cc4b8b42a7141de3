"""Owns the songs whose stems are known: a seed becomes drums, bass, other and vocals.

They train and measure the starter model, and give `stembox demo` something to play.
Needs numpy, scipy and numba only: no torch, nothing else of the server.
"""

from __future__ import annotations

import numpy as np

from server.starter import effects
from server.starter.drums import render_drums
from server.starter.instruments import bass_player, chord_player, lead_player
from server.starter.parts import bass_line, chord_part, melody
from server.starter.players import perform
from server.starter.score import Note, Score, compose
from server.starter.voice import draw_singer, sing

STEMS = ("drums", "bass", "other", "vocals")
# loudness of each stem where it plays: mean and spread in dB below full scale
LEVELS = (("drums", -19.0, 2.5), ("bass", -20.0, 2.5), ("other", -20.0, 3.0),
          ("vocals", -18.5, 2.5))  # fmt: skip


def synthesise(seed: int, seconds: float, sr: int = 44100) -> dict[str, np.ndarray]:
    """Compose and play song number `seed`.

    Returns the stems by name, in the order of STEMS, each (2, round(seconds * sr)) float32.
    Their sum is the mix; its peak is below 1. Equal arguments give equal samples.
    Raises ValueError if `seconds` holds less than one sample.
    """
    n = round(seconds * sr)
    if n < 1:
        raise ValueError("a song needs at least one sample")
    rng = np.random.default_rng((seed, 0x57E))
    score = compose(rng, seconds)
    makers = {"drums": drum_stem, "bass": bass_stem, "other": other_stem, "vocals": vocal_stem}
    streams = dict(zip(STEMS, rng.spawn(len(STEMS)), strict=True))
    stems = {name: makers[name](score, streams[name], n, sr) for name in STEMS}
    return level(stems, rng, sr)


def drum_stem(score: Score, rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """The drums in their room, some of them driven hard."""
    x = render_drums(score, rng, n, sr)
    x = effects.saturate(x, float(rng.uniform(0.3, 2.5)))
    return coloured(effects.room(x, rng, float(rng.uniform(0.02, 0.25)), sr), rng, sr)


def bass_stem(score: Score, rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """The bass, in the middle and nearly dry."""
    mono = perform(bass_player(rng, sr), bass_line(score, rng), n, sr)
    x = effects.saturate(effects.pan(mono, float(rng.uniform(-0.1, 0.1))), rng.uniform(0.2, 2.5))
    return coloured(x, rng, sr)


def other_stem(score: Score, rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """One to three chord instruments and a lead, spread over the stage."""
    x = np.zeros((2, n), dtype=np.float32)
    for _ in range(int(rng.choice((1, 2, 3), p=(0.35, 0.45, 0.2)))):
        style, play = chord_player(rng, sr)
        notes = chord_part(score, rng, style, int(rng.integers(55, 70)))
        x += staged(perform(play, notes, n, sr), rng, sr, 0.7)
    notes = melody(score, rng, "lead", (62, 86))
    x += 0.8 * staged(perform(lead_player(rng, sr), notes, n, sr), rng, sr, 0.4)
    return coloured(effects.room(x, rng, float(rng.uniform(0.0, 0.3)), sr), rng, sr)


def vocal_stem(score: Score, rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
    """A lead singer, sometimes doubled or in thirds, with reverberation and echo."""
    singer = draw_singer(rng)
    notes = melody(score, rng, "vocals", (singer.low, singer.high))
    x = effects.pan(sing(singer, notes, n, sr, rng), float(rng.uniform(-0.1, 0.1)))
    extra = rng.choice(("none", "double", "third"), p=(0.55, 0.25, 0.2))
    if extra != "none":
        shift = 0.0 if extra == "double" else float(rng.choice((3, 4, -5)))
        for side in (-0.7, 0.7):
            late = [Note(m.start + abs(rng.normal(0, 0.015)), m.length, m.pitch + shift, m.velocity)
                    for m in notes]  # fmt: skip
            x += 0.4 * effects.pan(sing(singer, late, n, sr, rng), side)
    x = effects.saturate(x, float(rng.uniform(0.2, 1.5)))
    if rng.random() < 0.35:
        x = effects.echo(x, int(score.span(score.steps_per_beat) * sr), 0.45, 0.25)
    return coloured(effects.room(x, rng, float(rng.uniform(0.03, 0.35)), sr), rng, sr)


def staged(mono: np.ndarray, rng: np.random.Generator, sr: int, width: float) -> np.ndarray:
    """Give an instrument its own level, drive, place and sometimes width: (2, samples)."""
    loud = effects.active_rms(mono[None].repeat(2, 0), sr)
    if loud == 0.0:
        return np.zeros((2, len(mono)), dtype=np.float32)
    mono = mono * np.float32(10.0 ** (rng.uniform(-8, 0) / 20.0) / loud)
    if rng.random() < 0.25:
        mono = effects.saturate(mono, float(rng.uniform(1.0, 6.0)))
    if rng.random() < 0.4:
        depth_s, rate = rng.uniform(0.001, 0.005), rng.uniform(0.2, 1.2)
        return effects.chorus(mono, depth_s, rate, 0.8, float(sr))
    return effects.pan(mono, float(rng.uniform(-width, width)))


def coloured(x: np.ndarray, rng: np.random.Generator, sr: int) -> np.ndarray:
    """A gentle random equaliser: up to 4 dB of tilt around a corner."""
    low, high = 10.0 ** (rng.uniform(-4.0, 4.0, size=2) / 40.0)
    return effects.tilt(x, low, high, float(rng.uniform(300, 2000)), float(sr))


def level(stems: dict[str, np.ndarray], rng: np.random.Generator, sr: int) -> dict[str, np.ndarray]:
    """Bring each stem to its loudness, fade the end, and keep the mix's peak below 1."""
    n = stems[STEMS[0]].shape[1]
    fade = np.ones(n, dtype=np.float32)
    edge = min(n, sr // 20)
    fade[n - edge :] = np.linspace(1.0, 0.0, edge, dtype=np.float32)
    for name, mean, spread in LEVELS:
        target = 10.0 ** (rng.normal(mean, spread) / 20.0)
        loud = effects.active_rms(stems[name], sr) or 1.0
        stems[name] = stems[name] * (fade * np.float32(target / loud))
    peak = float(np.abs(sum(stems.values())).max())
    ceiling = float(rng.uniform(0.5, 0.97))
    gain = np.float32(min(2.0, ceiling / max(peak, 1e-9)))
    return {name: np.ascontiguousarray(gain * stems[name], dtype=np.float32) for name in STEMS}
