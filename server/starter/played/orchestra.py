"""Owns who plays what: roles become presets of SoundFonts, drum kits and voices, drawn at random.

Knows which instruments are for training and which are kept unheard; not how they sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from server.starter.played import fonts
from server.starter.played.fonts import Manner, Preset
from server.starter.played.kits import Kit, recorded_kits, strike
from server.starter.played.programs import (
    CHOIRS,
    FLUID_KITS,
    FLUID_VARIATIONS,
    GENERALUSER_VARIATIONS,
    MUSESCORE_KITS,
    MUSESCORE_VARIATIONS,
    PROGRAMS,
    TIM_KITS,
)
from server.starter.played.sampled import Sampled, play_sampled, recorded_instruments
from server.starter.recorded import places
from server.starter.synthesis.score import Note

if TYPE_CHECKING:
    from server.starter.played.speakers import Voice

SF2 = "usr/share/sounds/sf2"
# SoundFonts: a package and the file in it
FLUID = ("fluid-soundfont-gm", f"{SF2}/FluidR3_GM.sf2")
MUSESCORE = ("musescore-general-soundfont", "usr/share/sounds/sf3/MuseScore_General_Full.sf3")
OPL3 = ("opl3-soundfont", f"{SF2}/OPL-3_FM_128M.sf2")  # an FM chip
GENERALUSER = ("minuet-data", "usr/share/minuet/soundfonts/GeneralUser-v1.47.sf2")
PEARL = ("avldrums.lv2-soundfont", f"{SF2}/Black_Pearl_4_LV2.sf2")
TIM = ("timgm6mb-soundfont", f"{SF2}/TimGM6mb.sf2")
ZEPPELIN = ("avldrums.lv2-soundfont", f"{SF2}/Red_Zeppelin_4_LV2.sf2")
DRUM_KIT_BANK = 128
# deepest vibrato in cents; the other roles have none
VIBRATO = MappingProxyType({"strings": 22.0, "brass": 14.0, "winds": 22.0, "lead": 30.0})
# keys of a General MIDI kit in the four-piece kits, which have fewer drums
FOUR_PIECE = MappingProxyType({35: 36, 47: 45, 48: 45, 50: 45, 43: 41, 70: 54, 69: 54, 82: 54})
SILENCE = 1e-5  # a reverb without input still gives some 1e-8
CHOIR_SHARE = 0.06
SAMPLED_SHARE = 0.4
KICKS, SNARES = frozenset((35, 36)), frozenset((37, 38, 39, 40))


@dataclass(frozen=True)
class Orchestra:
    """Instruments from outside: SoundFonts and speech synthesisers found on this machine.

    `share` is the chance that a part is played by it rather than by the project's own synthesis.
    `kits` are recorded drums, which play about half of the drum parts where there are any, and
    `sampled` are instruments recorded note by note, by role, which play SAMPLED_SHARE of the parts
    of theirs.
    """

    share: float
    presets: Mapping[str, tuple[Preset, ...]]
    voices: tuple[Voice, ...]
    kits: tuple[Kit, ...] = ()
    sampled: Mapping[str, tuple[Sampled, ...]] = field(default_factory=dict)

    def play(
        self, role: str, notes: list[Note], rng: np.random.Generator, n: int, sr: int
    ) -> np.ndarray:
        """Draw an instrument for `role` and play `notes`: (2, n) float32, peak 1 unless silent.

        The role is "drums", "vocals" or a key of PROGRAMS; drums read pitches as General MIDI
        percussion keys. The same state of `rng` gives the same samples.
        Raises KeyError for an unknown role.
        """
        if role == "vocals":
            x = self.sing(notes, rng, n, sr)
        elif role == "drums":
            x = self.drum(notes, rng, n, sr)
        elif role in self.sampled and rng.random() < SAMPLED_SHARE:
            played = strummed(notes, rng) if role == "guitar" else notes
            x = play_sampled(draw(self.sampled[role], rng), played, n, sr)
        else:
            preset = draw(self.presets[role], rng)
            played = strummed(notes, rng) if role == "guitar" else notes
            x = fonts.play_notes(preset, played, draw_manner(rng, role), n, sr)
        peak = float(np.abs(x).max(initial=0.0))
        return x / np.float32(peak) if peak > SILENCE else np.zeros_like(x)

    def sing(self, notes: list[Note], rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
        """A voice in the middle, or now and then a choir.

        Recorded people sing most parts; each kind of synthesiser is as likely as the others,
        whatever its voices.
        """
        from server.starter.played import singers

        if "choir" in self.presets and rng.random() < CHOIR_SHARE:
            preset = draw(self.presets["choir"], rng)
            return fonts.play_notes(preset, notes, draw_manner(rng, "winds"), n, sr)
        kinds = sorted({voice.kind for voice in self.voices})
        kinds += ["recorded"] * 4 * ("recorded" in kinds)
        kind = draw(tuple(kinds), rng)
        voice = draw(tuple(voice for voice in self.voices if voice.kind == kind), rng)
        mono = singers.sing_words(voice, notes, n, sr, rng)
        return np.stack([mono, mono])

    def drum(self, notes: list[Note], rng: np.random.Generator, n: int, sr: int) -> np.ndarray:
        """Kick, snare and the rest: of one kit or of several, each tuned and levelled anew."""
        x = np.zeros((2, n), dtype=np.float32)
        kit, mixed = self.draw_kit(rng), rng.random() < 0.4
        for strokes in pieces(notes):
            drums = self.draw_kit(rng) if mixed else kit
            manner = Manner(touch=rng.uniform(0.7, 1.0), cents=rng.uniform(-150.0, 150.0))
            gain = np.float32(10.0 ** (rng.uniform(-4.0, 4.0) / 20.0))
            if not strokes:
                continue
            if isinstance(drums, Preset):
                x += gain * fonts.play_notes(drums, on_kit(strokes, drums), manner, n, sr)
            else:
                x += gain * strike(drums, strokes, manner.cents, rng, n, sr)
        return x

    def draw_kit(self, rng: np.random.Generator) -> Preset | Kit:
        """A kit of a SoundFont or of recordings."""
        recorded = bool(self.kits) and rng.random() < 0.5
        chosen: Preset | Kit = draw(self.kits if recorded else self.presets["drums"], rng)
        return chosen


def training_orchestra() -> Orchestra:
    """What the starter learns from. Raises FileNotFoundError naming what must be installed."""
    fluid, pearl = require(FLUID, PEARL)
    presets = {role: gm_presets(fluid, programs) for role, programs in PROGRAMS.items()}
    presets["choir"] = gm_presets(fluid, CHOIRS)
    presets["drums"] = kits(fluid, FLUID_KITS) + (Preset(str(pearl), 0, 0),) * 6
    add(presets, fluid, FLUID_VARIATIONS)
    if (musescore := places.find(*MUSESCORE)) is not None:
        for role, programs in {**PROGRAMS, "choir": CHOIRS}.items():
            presets[role] += gm_presets(musescore, programs)
        presets["drums"] += kits(musescore, MUSESCORE_KITS)
        add(presets, musescore, MUSESCORE_VARIATIONS)
    if (chip := places.find(*OPL3)) is not None:
        for role, programs in PROGRAMS.items():
            presets[role] += gm_presets(chip, tuple(sorted(set(programs))))
        presets["drums"] += kits(chip, (0, 0))
    if (general := places.find(*GENERALUSER)) is not None:
        # twice: FluidR3 and MuseScore General are akin, so that they have two votes between them
        for role, variations in GENERALUSER_VARIATIONS.items():
            presets[role] += gm_presets(general, 2 * PROGRAMS[role])
            add(presets, general, {role: 2 * variations})
    kits_at_hand = recorded_kits(heard=True)
    return Orchestra(0.9, MappingProxyType(presets), voices(heard=True), kits_at_hand,
                     recorded_instruments())  # fmt: skip


def unheard_orchestra() -> Orchestra:
    """What measures the starter: instruments, kits and voices that no training song has.

    Raises FileNotFoundError naming what must be installed.
    """
    tim, zeppelin = require(TIM, ZEPPELIN)
    presets = {role: gm_presets(tim, programs) for role, programs in PROGRAMS.items()}
    presets["drums"] = kits(tim, TIM_KITS) + (Preset(str(zeppelin), 0, 0),) * 4
    synthesised = tuple(v for v in voices(heard=False) if v.kind != "recorded")
    return Orchestra(1.0, MappingProxyType(presets), synthesised)


def require(*wanted: tuple[str, str]) -> list[Path]:
    """Where fonts, each a package and its file, lie. Raises FileNotFoundError with the packages
    to install if one of them or FluidSynth is missing."""
    found = [places.find(package, inside) for package, inside in wanted]
    missing = [package for (package, _), file in zip(wanted, found, strict=True) if file is None]
    if missing:
        raise FileNotFoundError(places.advice(missing))
    if not fonts.installed():
        raise FileNotFoundError(
            "FluidSynth is missing: apt-get install libfluidsynth3, pip install pyfluidsynth"
        )
    return [file for file in found if file is not None]


def voices(heard: bool) -> tuple[Voice, ...]:
    """The voices found here, for training or kept from it. Raises FileNotFoundError for none."""
    from server.starter.played import speakers

    found = tuple(v for v in speakers.VOICES if v.heard == heard and speakers.available(v))
    if not found:
        raise FileNotFoundError(
            "voices are missing: apt-get install espeak-ng flite festival, pip install pyworld"
        )
    return found


def gm_presets(font: Path, programs: tuple[int, ...]) -> tuple[Preset, ...]:
    """Presets of bank 0."""
    return tuple(Preset(str(font), 0, program) for program in programs)


def kits(font: Path, programs: tuple[int, ...]) -> tuple[Preset, ...]:
    """Drum kits of a General MIDI font."""
    return tuple(Preset(str(font), DRUM_KIT_BANK, program) for program in programs)


def add(
    presets: dict[str, tuple[Preset, ...]], font: Path,
    variations: Mapping[str, tuple[tuple[int, int], ...]],
) -> None:  # fmt: skip
    """Give roles the presets (bank, program) that a font has beyond General MIDI."""
    for role, pairs in variations.items():
        presets[role] += tuple(Preset(str(font), bank, program) for bank, program in pairs)


def draw(choices: tuple[Any, ...], rng: np.random.Generator) -> Any:
    """One of `choices`, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]


def draw_manner(rng: np.random.Generator, role: str) -> Manner:
    """Strength, a few cents of tuning, vibrato for what is blown or bowed, rarely wet."""
    wet = rng.random(2) < (0.2, 0.12)
    reverb, chorus = np.where(wet, rng.uniform(0.2, 0.9, size=2), 0.0)
    depth = VIBRATO.get(role, 0.0) * (rng.random() < 0.8) * rng.uniform(0.2, 1.0)
    return Manner(rng.uniform(0.6, 1.0), rng.normal(0.0, 6.0), depth, rng.uniform(4.5, 6.5),
                  reverb, chorus)  # fmt: skip


def strummed(notes: list[Note], rng: np.random.Generator) -> list[Note]:
    """Spread notes that start together as a pick does, from the low or from the high string."""
    gap, upward = rng.uniform(0.002, 0.018), rng.random() < 0.3
    chords: dict[float, list[Note]] = {}
    for note in sorted(notes, key=lambda m: -m.pitch if upward else m.pitch):
        chords.setdefault(note.start, []).append(note)
    return [note._replace(start=note.start + rank * gap)
            for chord in chords.values() for rank, note in enumerate(chord)]  # fmt: skip


def pieces(notes: list[Note]) -> tuple[list[Note], list[Note], list[Note]]:
    """The strokes on kicks, on snares, and on all the rest."""
    kicks = [note for note in notes if note.pitch in KICKS]
    snares = [note for note in notes if note.pitch in SNARES]
    return kicks, snares, [note for note in notes if note.pitch not in KICKS | SNARES]


def on_kit(strokes: list[Note], preset: Preset) -> list[Note]:
    """Strokes that ring out, on keys that the kit has."""
    keys = {} if preset.bank == DRUM_KIT_BANK else FOUR_PIECE
    return [note._replace(length=60.0, pitch=keys.get(round(note.pitch), note.pitch))
            for note in strokes]  # fmt: skip
