"""Owns songs that people composed: MIDI files, whose parts become stems by what plays them.

Knows programs, excerpts and who sings; not how an instrument sounds or how stems are mixed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from server.starter.played import fonts
from server.starter.played.fonts import Preset
from server.starter.played.midi import Part, read_midi
from server.starter.played.orchestra import Orchestra, draw, draw_manner
from server.starter.songs import RECORDED, STEMS, finish
from server.starter.synthesis import amps, effects
from server.starter.synthesis.score import Note
from server.starter.synthesis.stems import backing, leveled, mixed

# General MIDI's programs by stem; others are `other`, what is no instrument is left out
STEM_PROGRAMS = {
    **dict.fromkeys(range(0, 8), "piano"), **dict.fromkeys(range(24, 32), "guitar"),
    **dict.fromkeys(range(32, 40), "bass"), 52: "vocals", 53: "vocals", 54: "vocals",
    85: "vocals", 91: "vocals", **dict.fromkeys(range(115, 120), "drums"),
}  # fmt: skip
NOISES = frozenset(range(120, 128))
WET = {"drums": (0.02, 0.25), "bass": (0.0, 0.03), "vocals": (0.03, 0.35)}
SUNG = 0.9  # chance that a tune, if there is one, is given to a singer
FEWEST = 12  # notes of a tune in an excerpt


def play_composed(
    data: bytes, seconds: float, sr: int, orchestra: Orchestra, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """An excerpt of a MIDI file as a song of six stems, as `songs.synthesise` gives them.

    It begins at random; one of its tunes is sung. Equal states of `rng` give equal samples.
    Raises ValueError for what is no MIDI file or plays nothing.
    """
    n = round(seconds * sr)
    arranged = by_stem(excerpt(read_midi(data), seconds, rng))
    if not arranged:
        raise ValueError("the file plays nothing")
    tune = draw_tune(arranged, rng)
    song = {}
    for name, _, mean, spread, _ in RECORDED:
        x = np.zeros((2, n), dtype=np.float32)
        for part in arranged.get(name, ()):
            x += leveled(rendered(name, part, orchestra, rng, n, sr), rng, sr)
        if name == "vocals" and tune is not None:
            x += sung(tune.notes, orchestra, rng, n, sr)
        if x.any():
            x = mixed(x, rng, sr, WET.get(name, (0.0, 0.25)))
        target = 10.0 ** (rng.normal(mean, spread) / 20.0)
        song[name] = x * np.float32(target / (effects.active_rms(x, sr) or 1.0))
    return finish(song, rng, sr)


def excerpt(parts: list[Part], seconds: float, rng: np.random.Generator) -> list[Part]:
    """What begins within a stretch drawn from where the song plays, from its own zero."""
    starts = [note.start for part in parts for note in part.notes]
    if not starts:
        return []
    first, last = min(starts), max(starts)
    begin = rng.uniform(first, max(first, last - 0.8 * seconds))
    cut = [part._replace(notes=[note._replace(start=note.start - begin) for note in part.notes
                                if begin <= note.start < begin + seconds])
           for part in parts]  # fmt: skip
    return [part for part in cut if part.notes]


def by_stem(parts: list[Part]) -> dict[str, list[Part]]:
    """The parts that each stem has."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        if part.drums or part.program not in NOISES:
            stem = "drums" if part.drums else STEM_PROGRAMS.get(part.program, "other")
            found.setdefault(stem, []).append(part)
    return {stem: found[stem] for stem in STEMS if stem in found}


def draw_tune(arranged: dict[str, list[Part]], rng: np.random.Generator) -> Part | None:
    """Take a part that can be sung from its stem, most often; None where nobody sings it."""
    tunes = [(stem, part) for stem in ("other", "guitar", "piano")
             for part in arranged.get(stem, ()) if is_tune(part.notes)]  # fmt: skip
    if not tunes or rng.random() >= SUNG:
        return None
    stem, part = draw(tuple(tunes), rng)
    arranged[stem].remove(part)
    return part


def is_tune(notes: list[Note]) -> bool:
    """Whether notes are one after the other, at a pace and a pitch that a voice can follow."""
    if len(notes) < FEWEST:
        return False
    starts = np.array([note.start for note in notes])
    together = np.mean(np.diff(starts) < 0.03)
    pace = (len(notes) - 1) / max(1.0, starts[-1] - starts[0])
    middle = float(np.median([note.pitch for note in notes]))
    return bool(together < 0.1 and 0.3 < pace < 6.0 and 48 <= middle <= 88)


def rendered(
    stem: str, part: Part, orchestra: Orchestra, rng: np.random.Generator, n: int, sr: int
) -> np.ndarray:
    """One part on the instrument it was written for, or its like: (2, n) float32."""
    if part.drums:
        return orchestra.play("drums", part.notes, rng, n, sr)
    if stem == "piano" and part.program < 2 and rng.random() < 0.5:
        return orchestra.play("piano", part.notes, rng, n, sr)
    preset = draw(tuple(of_program(part.program, stem, orchestra)) or orchestra.presets[stem], rng)
    x = fonts.play_notes(preset, part.notes, draw_manner(rng, stem), n, sr)
    x = effects.pan(x.mean(0), float(rng.uniform(-0.7, 0.7))) if rng.random() < 0.4 else x
    if stem == "guitar" and part.program in (29, 30) and x.any() and rng.random() < 0.6:
        return amps.amplified(x, rng, sr)
    if stem == "bass" and x.any() and rng.random() < 0.3:
        return effects.saturate(x, float(rng.uniform(0.5, 4.0)))
    return x


def of_program(program: int, stem: str, orchestra: Orchestra) -> Iterator[Preset]:
    """The program in each General MIDI font that plays such parts in the orchestra: one may be kept
    from others, whose samples it shares with a font that nobody may hear."""
    role = stem if stem in ("bass", "guitar", "piano") else "strings"
    families = [preset.font for preset in orchestra.presets[role]]
    return (Preset(font, 0, program) for font in dict.fromkeys(families))


def sung(
    notes: list[Note], orchestra: Orchestra, rng: np.random.Generator, n: int, sr: int
) -> np.ndarray:
    """A tune sung, perhaps doubled or in harmony: (2, n) float32."""
    x = effects.pan(voice(notes, orchestra, rng, n, sr), float(rng.uniform(-0.1, 0.1)))
    for side, line in backing(notes, rng):
        gain = np.float32(rng.uniform(0.2, 0.5))
        x += gain * effects.pan(voice(line, orchestra, rng, n, sr), side)
    return effects.saturate(x, float(rng.uniform(0.2, 1.5))) if x.any() else x


def voice(
    notes: list[Note], orchestra: Orchestra, rng: np.random.Generator, n: int, sr: int
) -> np.ndarray:
    """One line sung by somebody, mono (n,), as loud as any other."""
    x = orchestra.play("vocals", notes, rng, n, sr)
    return x.mean(0) / np.float32(effects.active_rms(x, sr) or 1.0)
