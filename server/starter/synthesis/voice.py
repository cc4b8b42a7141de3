"""Owns the singer: how a note becomes a syllable with pitch, vowel, consonant and breath.

Knows notes and the vocal tract's controls; nothing of songs, rooms or levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from server.starter.synthesis.filters import smooth, state_variable
from server.starter.synthesis.score import Note
from server.starter.synthesis.tract import BANDWIDTHS, HOP, Tract, glottis, resonate

VOWELS = (
    (730.0, 1090.0, 2440.0), (530.0, 1840.0, 2480.0), (270.0, 2290.0, 3010.0),
    (570.0, 840.0, 2410.0), (300.0, 870.0, 2240.0), (660.0, 1720.0, 2410.0),
    (640.0, 1190.0, 2390.0), (490.0, 1350.0, 1690.0),
)  # Hz, men: Peterson and Barney (1952)  # fmt: skip
MURMUR = (270.0, 1100.0, 2200.0)  # the tract during m, n and l


class Singer(NamedTuple):
    """A voice. Pitches as MIDI numbers, times in seconds, the rest as ratios."""

    low: int
    high: int
    tract: float  # formant scale: 1 for a man, about 1.17 for a woman
    breath: float  # noise against voice
    open: float  # open quotient of the pulse
    vibrato: float  # cents
    rate: float  # of the vibrato, Hz
    glide: float  # time constant of portamento
    tilt: float  # corner of the source's low-pass, Hz
    air: float  # what goes past the formants above 4 kHz, against the voice


def draw_singer(rng: np.random.Generator) -> Singer:
    """A random singer, from bass to soprano."""
    low, high, tract = ((38, 57, 0.95), (46, 65, 1.0), (53, 72, 1.12), (58, 79, 1.18))[
        rng.choice(4, p=(0.15, 0.35, 0.25, 0.25))
    ]
    return Singer(low, high, tract * float(rng.uniform(0.95, 1.05)),
                  float(rng.uniform(0.01, 0.12)), float(rng.uniform(0.45, 0.75)),
                  float(rng.uniform(5, 60)), float(rng.uniform(4.8, 6.4)),
                  float(rng.uniform(0.01, 0.05)), float(rng.uniform(2500, 9000)),
                  float(rng.uniform(0.01, 0.1)))  # fmt: skip


def sing(
    singer: Singer, notes: list[Note], n: int, sr: int, rng: np.random.Generator
) -> np.ndarray:
    """Sing `notes`, one syllable each: mono (n,) float32, not yet at any level."""
    frames = n // HOP + 2
    tract = Tract(
        np.full(frames, np.nan), np.zeros(frames), np.zeros(frames), np.zeros((frames, 7))
    )
    noise = rng.standard_normal(n).astype(np.float32)
    fric = np.zeros(n, dtype=np.float32)
    for note in notes:
        syllable(singer, note, tract, sr, rng)
        consonant(note, fric, noise, sr, rng)
    settle(tract, singer, sr, rng)
    pulses = glottis(tract, noise, singer.open, singer.tilt, float(sr))
    voice = resonate(pulses, tract.formants, np.array(BANDWIDTHS), float(sr))
    air = state_variable(pulses, 4000.0, 0.7, 2, float(sr))
    return unit(voice) + np.float32(singer.air) * unit(air) + fric


def unit(x: np.ndarray) -> np.ndarray:
    """Scale `x` to an RMS of 1; silence stays silence."""
    return x / np.float32(float(np.sqrt(np.mean(np.square(x)))) or 1.0)


def syllable(singer: Singer, note: Note, tract: Tract, sr: int, rng: np.random.Generator) -> None:
    """Write one note's pitch, loudness and mouth into the control tracks."""
    rate = sr / HOP
    first, last = int(note.start * rate), int((note.start + note.length) * rate)
    last = min(last, len(tract.pitch))
    if last - first < 4:
        return
    t = np.arange(last - first) / rate
    sway = singer.vibrato * np.clip((t - 0.2) / 0.3, 0, 1) * np.sin(2 * np.pi * singer.rate * t)
    tract.pitch[first:last] = note.pitch + sway / 100.0
    fade = np.minimum(1.0, t / 0.035) * np.minimum(1.0, (t[-1] - t) / 0.05)
    tract.voiced[first:last] = note.velocity * fade
    tract.hiss[first:last] = singer.breath * fade
    start, end = np.array(VOWELS)[rng.integers(len(VOWELS), size=2)]
    path = np.clip((t / t[-1] - 0.6) / 0.3, 0, 1)[:, None] if rng.random() < 0.35 else 0.0
    mouth = (start + path * (end - start)) * np.ones((len(t), 1))
    if rng.random() < 0.3:
        closed = slice(0, max(1, int(min(0.07, 0.3 * t[-1]) * rate)))
        mouth[closed] = MURMUR
        tract.voiced[first:last][closed] *= 0.5
    tract.formants[first:last, :3] = mouth * singer.tract


def consonant(
    note: Note, fric: np.ndarray, noise: np.ndarray, sr: int, rng: np.random.Generator
) -> None:
    """Add what precedes a syllable's vowel: a fricative, a plosive, or nothing."""
    draw = rng.random()
    if draw > 0.6:
        return
    fricative = draw < 0.35
    length = float(rng.uniform(0.05, 0.13)) if fricative else float(rng.uniform(0.008, 0.02))
    end = min(len(fric), int(note.start * sr) + 200)
    start = max(0, end - int(length * sr))
    if end - start < 32:
        return
    centre = float(rng.uniform(3500, 9000)) if fricative else float(rng.uniform(1200, 5000))
    sound = state_variable(noise[start:end], centre, 1.5, 1, float(sr))
    shape = np.hanning(end - start) if fricative else np.linspace(1.0, 0.0, end - start)
    fric[start:end] += float(rng.uniform(0.3, 0.9)) * note.velocity * shape * sound


def settle(tract: Tract, singer: Singer, sr: int, rng: np.random.Generator) -> None:
    """Fill rests, smooth every track as a body would, add drift and the upper formants."""
    rate = sr / HOP
    known = np.flatnonzero(~np.isnan(tract.pitch))
    frames = np.arange(len(tract.pitch))
    if len(known) == 0:
        known, tract.pitch[0], tract.formants[0, :3] = np.array([0]), singer.low, VOWELS[0]
    nearest = known[np.clip(np.searchsorted(known, frames, side="right") - 1, 0, None)]
    drift = rng.standard_normal(len(frames)) * (frames > 0)  # begins in tune
    pitch = smooth(tract.pitch[nearest], singer.glide * rate) + smooth(2.0 * drift, 0.15 * rate)
    tract.pitch[:] = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    for k in range(3):
        tract.formants[:, k] = smooth(tract.formants[nearest, k], 0.02 * rate)
    tract.formants[:, 0] = np.maximum(tract.formants[:, 0], tract.pitch)
    tract.formants[:, 3:] = np.array((3300.0, 4200.0, 6300.0, 8600.0)) * singer.tract
