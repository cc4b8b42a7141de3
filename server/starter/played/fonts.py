"""Owns SoundFonts: a preset and some notes become samples, through FluidSynth, offline.

Knows nothing of roles or songs. Needs libfluidsynth and pyfluidsynth, which nothing else does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from server.starter.synthesis.score import Note

BLOCK = 64  # FluidSynth looks at its events once in so many samples
VIBRATO_STEP = 4 * BLOCK
BEND_RANGE = 200.0  # cents at full bend, as General MIDI has it
OFF, BEND, ON = 0, 1, 2  # the order of events that fall on one sample


class Preset(NamedTuple):
    """One instrument of a SoundFont; drum kits are programs of bank 128 in General MIDI."""

    font: str
    bank: int
    program: int


class Manner(NamedTuple):
    """How a part is played: strength, tuning, vibrato, and FluidSynth's own effects, 0..1."""

    touch: float = 1.0
    cents: float = 0.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.5
    reverb: float = 0.0
    chorus: float = 0.0


class Event(NamedTuple):
    """What happens at a sample, a multiple of BLOCK: `args` are (key[, velocity]) or (bend,)."""

    at: int
    kind: int
    args: tuple[int, ...]


def installed() -> bool:
    """Whether the synthesiser and its binding can be imported."""
    try:
        import fluidsynth  # noqa: F401
    except ImportError:
        return False
    return True


def play_notes(preset: Preset, notes: list[Note], manner: Manner, n: int, sr: int) -> np.ndarray:
    """Play `notes`, whose pitches are rounded to keys: (2, n) float32, of no particular level.

    Equal arguments give equal samples: each call has a synthesiser of its own, which reads
    only the samples of its one preset. A note begins within BLOCK / 2 samples of its time.
    Raises ImportError without FluidSynth, FileNotFoundError for a font that cannot be read,
    ValueError for a preset that the font lacks.
    """
    out = np.zeros((2, n + -n % BLOCK), dtype=np.float32)
    events = sorted(key_events(notes, manner, sr) + bend_events(notes, manner, n, sr))
    with opened(preset, manner, sr) as synth:
        actions = {OFF: synth.noteoff, BEND: synth.pitch_bend, ON: synth.noteon}
        write = float_writer(synth, out)
        done = 0
        for event in events:
            if event.at >= n:
                break
            write(done, event.at)
            actions[event.kind](0, *event.args)
            done = event.at
        write(done, out.shape[1])
    return out[:, :n].copy()


def key_events(notes: list[Note], manner: Manner, sr: int) -> list[Event]:
    """Keys going down and up. A key still down when it is struck again is let go before."""
    events: list[Event] = []
    struck: dict[int, int] = {}  # key -> its next stroke
    for note in sorted(notes, reverse=True):
        key = int(np.clip(round(note.pitch), 0, 127))
        start = on_block(note.start, sr)
        end = min(max(start + BLOCK, on_block(note.start + note.length, sr)),
                  struck.get(key, 1 << 62))  # fmt: skip
        struck[key] = start
        # a synthesiser's loudness goes with the square of the velocity: ours is an amplitude
        velocity = int(np.clip(round(127 * np.sqrt(note.velocity) * manner.touch), 1, 127))
        events += [Event(start, ON, (key, velocity)), Event(end, OFF, (key,))]
    return events


def bend_events(notes: list[Note], manner: Manner, n: int, sr: int) -> list[Event]:
    """The detuning at the start; then vibrato that grows after each note's first instants."""
    if not manner.vibrato_cents:
        return [Event(0, BEND, (as_bend(manner.cents),))]
    times = np.arange(0, n, VIBRATO_STEP)
    starts = np.array([0.0, *sorted(note.start for note in notes)])
    age = times / sr - starts[np.maximum(np.searchsorted(starts, times / sr, "right") - 1, 0)]
    depth = manner.vibrato_cents * np.clip((age - 0.12) / 0.3, 0.0, 1.0)
    cents = manner.cents + depth * np.sin(2 * np.pi * manner.vibrato_hz * times / sr)
    return [Event(int(at), BEND, (as_bend(c),)) for at, c in zip(times, cents, strict=True)]


def on_block(seconds: float, sr: int) -> int:
    """The block's edge nearest to a time, as a sample's number."""
    return max(0, BLOCK * round(seconds * sr / BLOCK))


def as_bend(cents: float) -> int:
    """A pitch bend's value, -8192..8191."""
    return int(np.clip(round(8192 * cents / BEND_RANGE), -8192, 8191))


@contextmanager
def opened(preset: Preset, manner: Manner, sr: int) -> Iterator[Any]:
    """A synthesiser with `preset` on its channel 0, freed at the end."""
    import fluidsynth

    if not Path(preset.font).is_file():
        raise FileNotFoundError(preset.font)
    hush(fluidsynth)
    settings = {
        "synth.dynamic-sample-loading": 1,
        "synth.polyphony": 96,  # layers of dying notes would cost more than all the rest
        "synth.reverb.active": int(manner.reverb > 0.0),
        "synth.chorus.active": int(manner.chorus > 0.0),
    }
    synth = fluidsynth.Synth(gain=0.5, samplerate=float(sr), channels=16, **settings)
    try:
        font = synth.sfload(preset.font)
        if font < 0:
            raise FileNotFoundError(f"{preset.font} is no SoundFont")
        if synth.program_select(0, font, preset.bank, preset.program) < 0:
            raise ValueError(f"{preset} is not in its font")
        synth.cc(0, 91, round(127 * manner.reverb))
        synth.cc(0, 93, round(127 * manner.chorus))
        yield synth
    finally:
        synth.delete()


def hush(library: Any) -> None:
    """Switch FluidSynth's chatter off: what fails shows in return values."""
    number, pointer = ctypes.c_int, ctypes.c_void_p
    arguments = [("level", number, 1), ("handler", pointer, 1), ("data", pointer, 1)]
    set_handler = library.cfunc("fluid_set_log_function", pointer, *arguments)
    for level in range(1, 5):  # errors, warnings, information, debugging; not panic
        set_handler(level, None, None)


def float_writer(synth: Any, out: np.ndarray) -> Any:
    """A function (start, end) that fills out[:, start:end].

    The binding itself offers 16-bit samples only; these neither clip nor carry dither.
    """
    import fluidsynth

    number, pointer = ctypes.c_int, ctypes.c_void_p
    arguments = [("synth", pointer, 1), ("frames", number, 1)]
    for side in ("left", "right"):
        arguments += [(side, pointer, 1), (f"{side}_at", number, 1), (f"{side}_by", number, 1)]
    fill = fluidsynth.cfunc("fluid_synth_write_float", number, *arguments)
    left, right = (channel.ctypes.data for channel in out)

    def write(start: int, end: int) -> None:
        if end > start:
            fill(synth.synth, end - start, left, start, 1, right, start, 1)

    return write
