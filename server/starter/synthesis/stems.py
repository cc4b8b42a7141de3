"""Owns how each stem of a song is arranged and recorded: who plays what, where and how treated.

Instruments come from a `Studio`, which has the project's own and perhaps an orchestra's.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from server.starter.synthesis import amps, effects, guitars
from server.starter.synthesis.drums import drum_part, render_drums
from server.starter.synthesis.fretting import picked, riff, strummed
from server.starter.synthesis.instruments import bass_player, ensemble
from server.starter.synthesis.parts import (
    bass_line,
    chord_part,
    left_hand,
    melody,
    pedalled,
    recited,
)
from server.starter.synthesis.pianos import keyboard
from server.starter.synthesis.players import Player, perform
from server.starter.synthesis.score import Note, Score
from server.starter.synthesis.voice import draw_singer, sing

# what plays chords and tunes in `other`, and how each likes to play chords
CHORDS = MappingProxyType({
    "organ": ("held", "comped", "broken"), "pad": ("held",), "saws": ("held", "comped", "broken"),
    "strings": ("held", "held", "broken"), "brass": ("comped", "held"), "mallets": ("broken",),
    "winds": ("held", "broken"),
})  # fmt: skip
TUNES = ("lead", "lead", "winds", "strings", "brass", "mallets")


class Orchestra(Protocol):
    """Instruments from elsewhere. `share` is the chance that a part is given to them."""

    @property
    def share(self) -> float: ...

    def play(
        self, role: str, notes: list[Note], rng: np.random.Generator, n: int, sr: int
    ) -> np.ndarray:
        """Play `notes` on some instrument that fits `role`: (2, n) float32, at any level."""


@dataclass(frozen=True)
class Studio:
    """Where one song is recorded: its length `n` in samples, its rate, and who may be called."""

    score: Score
    n: int
    sr: int
    orchestra: Orchestra | None

    def calls(self, rng: np.random.Generator) -> bool:
        """Whether the next part is given to the orchestra."""
        return self.orchestra is not None and rng.random() < self.orchestra.share

    def play(
        self, role: str, notes: list[Note], own: Player, rng: np.random.Generator, width: float
    ) -> np.ndarray:
        """Play a part on `own` instrument or by the orchestra, set on the stage: (2, n)."""
        if self.orchestra is not None and self.calls(rng):
            x = self.orchestra.play(role, notes, rng, self.n, self.sr)
            return placed(x, rng, self.sr, width)
        return staged(perform(own, notes, self.n, self.sr), rng, self.sr, width)


def drum_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """The drums in their room, some of them driven hard."""
    notes, sr = drum_part(studio.score, rng), studio.sr
    if studio.orchestra is not None and studio.calls(rng):
        x = studio.orchestra.play("drums", notes, rng, studio.n, sr)
    else:
        x = render_drums(notes, rng, studio.n, sr)
    x = effects.saturate(x, float(rng.uniform(0.3, 2.5)))
    return mixed(x, rng, sr, (0.02, 0.25))


def bass_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """The bass, in the middle and nearly dry."""
    notes = bass_line(studio.score, rng)
    x = studio.play("bass", notes, bass_player(rng, studio.sr), rng, 0.1)
    x = amps.passed(x, float(10.0 ** rng.uniform(2.5, 3.6)), 0, studio.sr)
    return mixed(effects.saturate(x, float(rng.uniform(0.2, 2.5))), rng, studio.sr, (0.0, 0.03))


def other_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """One or two chord instruments and mostly a lead, spread over the stage."""
    score, sr = studio.score, studio.sr
    x = np.zeros((2, studio.n), dtype=np.float32)
    for _ in range(int(rng.choice((1, 2), p=(0.6, 0.4)))):
        kind = str(rng.choice(tuple(CHORDS)))
        notes = chord_part(score, rng, str(rng.choice(CHORDS[kind])), int(rng.integers(52, 72)))
        role = "lead" if kind == "saws" else kind
        x += studio.play(role, notes, ensemble(kind, rng, sr), rng, 0.7)
    if rng.random() < 0.75:
        role = str(rng.choice(TUNES))
        notes = melody(score, rng, "lead", (60, 86))
        x += 0.8 * studio.play(role, notes, ensemble(role, rng, sr), rng, 0.4)
    return mixed(x, rng, sr, (0.0, 0.3))


def guitar_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """One or two guitars: strummed, picked, driven hard, or singing a tune."""
    x = np.zeros((2, studio.n), dtype=np.float32)
    manners = rng.choice(("strummed", "picked", "comped", "riff", "lead"),
                         p=(0.28, 0.22, 0.14, 0.22, 0.14),
                         size=int(rng.choice((1, 2), p=(0.6, 0.4))))  # fmt: skip
    for manner in manners:
        x += guitarist(studio, rng, str(manner))
    return mixed(x, rng, studio.sr, (0.0, 0.25))


def guitarist(studio: Studio, rng: np.random.Generator, manner: str) -> np.ndarray:
    """One guitar through its body or amplifier, now and then recorded twice, left and right."""
    score, sr = studio.score, studio.sr
    if manner == "lead":
        notes, own = melody(score, rng, "guitar", (52, 84)), guitars.soloing(rng, sr)
    elif manner == "riff":
        notes, own = riff(score, rng, "guitar"), guitars.electric(rng, sr)
    else:
        if manner == "comped":
            notes = chord_part(score, rng, "comped", int(rng.integers(50, 64)), "guitar")
        else:
            notes = (strummed if manner == "strummed" else picked)(score, rng, "guitar")
        wooden = manner != "comped" and rng.random() < 0.6
        own = (guitars.acoustic if wooden else guitars.electric)(rng, sr)
        driven = not wooden and rng.random() < 0.25
        take = studio.play("guitar", notes, own, rng, 0.8)
        return amps.amplified(take, rng, sr) if driven else amps.bodied(take, rng, sr)
    if manner == "lead" or rng.random() < 0.5:
        return amps.amplified(studio.play("guitar", notes, own, rng, 0.4), rng, sr)
    late = [m._replace(start=m.start + abs(float(rng.normal(0.0, 0.008)))) for m in notes]
    sides = [amps.amplified(studio.play("guitar", part, own, rng, 0.0), rng, sr).mean(0)
             for part in (notes, late)]  # fmt: skip
    return np.stack(sides)


def piano_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """Both hands of a pianist."""
    score, sr = studio.score, studio.sr
    manner = str(rng.choice(("held", "comped", "broken", "lead"), p=(0.22, 0.36, 0.26, 0.16)))
    if manner == "lead":
        notes = melody(score, rng, "piano", (58, 88))
    else:
        notes = chord_part(score, rng, manner, int(rng.integers(55, 72)), "piano")
    if rng.random() < 0.6:
        notes = sorted(notes + left_hand(score, rng, "piano"))
    if rng.random() < 0.4:
        notes = pedalled(score, notes)
    electric, own = keyboard(rng, sr)
    x = studio.play("piano", notes, own, rng, 0.5)
    if electric and rng.random() < 0.5:
        x = effects.tremolo(x, float(rng.uniform(1.5, 6.5)), float(rng.uniform(0.1, 0.6)), sr)
    return mixed(x, rng, sr, (0.0, 0.25))


def vocal_stem(studio: Studio, rng: np.random.Generator) -> np.ndarray:
    """A lead singer or speaker, sometimes doubled or in thirds, with reverberation and echo."""
    n, sr, score = studio.n, studio.sr, studio.score
    singer = draw_singer(rng)
    if rng.random() < 0.12:
        notes = recited(score, rng, "vocals", float(rng.uniform(singer.low, singer.low + 8)))
        singer = singer._replace(vibrato=0.0, glide=0.06)
    else:
        notes = melody(score, rng, "vocals", (singer.low, singer.high))
    called = studio.calls(rng)

    def voice(line: list[Note]) -> np.ndarray:
        if studio.orchestra is not None and called:
            sung = studio.orchestra.play("vocals", line, rng, n, sr).mean(0)
        else:
            sung = sing(singer, line, n, sr, rng)
        return sung / np.float32(effects.active_rms(sung[None].repeat(2, 0), sr) or 1.0)

    x = effects.pan(voice(notes), float(rng.uniform(-0.1, 0.1)))
    for side, line in backing(notes, rng):
        x += np.float32(rng.uniform(0.2, 0.5)) * effects.pan(voice(line), side)
    x = effects.saturate(x, float(rng.uniform(0.2, 1.5)))
    if rng.random() < 0.35:
        x = effects.echo(x, int(score.span(score.steps_per_beat) * sr), 0.45, 0.25)
    return mixed(x, rng, sr, (0.03, 0.35))


def backing(notes: list[Note], rng: np.random.Generator) -> list[tuple[float, list[Note]]]:
    """Further takes of a tune and their places: none, a double, or harmonies, each a bit late."""
    kind = rng.choice(("none", "double", "third", "octave"), p=(0.58, 0.2, 0.17, 0.05))
    if kind == "none":
        return []
    shift = {"double": 0.0, "third": float(rng.choice((3, 4, -5))), "octave": -12.0}[str(kind)]
    return [
        (side, [m._replace(start=m.start + abs(float(rng.normal(0, 0.015))), pitch=m.pitch + shift)
                for m in notes])
        for side in (-0.7, 0.7)
    ]  # fmt: skip


def staged(mono: np.ndarray, rng: np.random.Generator, sr: int, width: float) -> np.ndarray:
    """Give an instrument sometimes drive or width, and its place: (2, samples)."""
    if rng.random() < 0.2:
        mono = effects.saturate(mono, float(rng.uniform(1.0, 6.0)))
    if rng.random() < 0.4:
        depth_s, rate = rng.uniform(0.001, 0.005), rng.uniform(0.2, 1.2)
        return leveled(effects.chorus(mono, depth_s, rate, 0.8, float(sr)), rng, sr)
    return leveled(effects.pan(mono, float(rng.uniform(-width, width))), rng, sr)


def placed(x: np.ndarray, rng: np.random.Generator, sr: int, width: float) -> np.ndarray:
    """Give a stereo instrument (2, samples) its balance."""
    angle = (float(rng.uniform(-width, width)) + 1.0) * np.pi / 4.0
    gains = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return leveled(x * gains[:, None], rng, sr)


def leveled(x: np.ndarray, rng: np.random.Generator, sr: int) -> np.ndarray:
    """Bring an instrument to its own level within the stem, up to 8 dB below the loudest."""
    loud = effects.active_rms(x, sr)
    return x * np.float32(10.0 ** (rng.uniform(-8, 0) / 20.0) / loud) if loud else x


def mixed(x: np.ndarray, rng: np.random.Generator, sr: int, wet: tuple[float, float]) -> np.ndarray:
    """A mixing desk's channel: hiss, equaliser, compressor, width, and room at a gain in `wet`."""
    loud = effects.active_rms(x, sr)
    if loud and rng.random() < 0.3:
        hiss = np.float32(loud * 10.0 ** (rng.uniform(-75, -45) / 20.0))
        x = x + hiss * rng.standard_normal(x.shape, dtype=np.float32)
    corner, low, high = float(rng.uniform(300, 2000)), *map(float, rng.uniform(-2, 2, size=2))
    bands = [effects.shelf(corner, low, False, sr), effects.shelf(corner, high, True, sr)]
    for _ in range(int(rng.integers(0, 4))):
        freq, q, db = 10 ** rng.uniform(1.9, 4.0), rng.uniform(0.5, 3.0), rng.uniform(-7, 7)
        bands.append(effects.bell(float(min(freq, 0.4 * sr)), float(q), float(db), sr))
    x = effects.equalise(x.astype(np.float32), np.stack(bands))
    if loud and rng.random() < 0.5:
        threshold, ratio = loud * float(rng.uniform(0.7, 2.0)), float(rng.uniform(1.5, 6.0))
        x *= effects.gain_track(x, threshold, ratio, float(rng.uniform(0.05, 0.3)), float(sr))
    if rng.random() < 0.3:
        x = effects.widen(x, float(rng.uniform(0.3, 1.5)))
    return effects.room(x, rng, float(rng.uniform(*wet)), sr)
