"""Owns reading composed music: Standard MIDI Files, and where packages keep them.

A file becomes parts, each the notes of one instrument. Knows nothing of sound.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from server.starter.recorded import places
from server.starter.synthesis.score import Note

DRUM_CHANNEL = 9
VOLUME, EXPRESSION = 7, 11
LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}  # bytes after a status
DEFAULT_TEMPO = 500_000  # microseconds a quarter, until a file says otherwise

# packages, folders or archives in them; and what is kept from training, by name
COMPOSED = (
    ("openttd-openmsx", "usr/share/games/openttd/baseset/openmsx"),
    ("freedoom", "usr/share/games/doom/freedoom1.wad"),
    ("freedoom", "usr/share/games/doom/freedoom2.wad"),
)
UNHEARD = frozenset((
    "careless_perc_redfarn", "city_blues_redfarn", "keep_on_rolling", "midnight_snow_run",
    "modern_motion", "D_E1M1", "D_E2M3", "D_RUNNIN", "D_STALKS", "D_BETWEE",
))  # fmt: skip


class Part(NamedTuple):
    """The notes of one program (0..127) on one channel; drums read pitches as percussion keys."""

    program: int
    drums: bool
    notes: list[Note]


class Event(NamedTuple):
    """A channel's message (status, data) or a change of tempo (0x51, microseconds), at a tick."""

    tick: int
    status: int
    data: tuple[int, ...]


def composed_songs(heard: bool) -> dict[str, bytes]:
    """The MIDI files at hand by name, for training or kept from it.

    Raises FileNotFoundError naming the packages if there are none.
    """
    found: dict[str, bytes] = {}
    for package, inside in COMPOSED:
        path = places.find(package, inside)
        if path is not None:
            songs = dict(lumps(path)) if path.is_file() else {
                file.stem: file.read_bytes() for file in sorted(path.glob("*.mid"))
            }  # fmt: skip
            known = set(found.values())  # an archive may have the other's songs
            found |= {name: data for name, data in songs.items() if data not in known}
    wanted = {name: data for name, data in found.items() if (name not in UNHEARD) == heard}
    if not wanted:
        raise FileNotFoundError(places.advice(package for package, _ in COMPOSED))
    return wanted


def lumps(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The MIDI files in a WAD, the archive of Doom, by their names there."""
    data = archive.read_bytes()
    _, count, directory = struct.unpack_from("<4sII", data)
    for entry in range(count):
        start, size, name = struct.unpack_from("<II8s", data, directory + 16 * entry)
        if data[start : start + 4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii"), data[start : start + size]


def read_midi(data: bytes) -> list[Part]:
    """The parts of a Standard MIDI File, notes in seconds, velocities as amplitudes (squared).

    Raises ValueError for what is no such file or counts in film frames.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise ValueError("no Standard MIDI File")
    size, _, tracks, division = struct.unpack_from(">IHHH", data, 4)
    if division & 0x8000:
        raise ValueError("a MIDI file in film frames is not understood")
    events: list[Event] = []
    at = 8 + size
    for _ in range(tracks):
        if data[at : at + 4] != b"MTrk":
            break
        length = struct.unpack_from(">I", data, at + 4)[0]
        events += track_events(data[at + 8 : at + 8 + length])
        at += 8 + length
    events.sort(key=lambda event: event.tick)  # stable: a track's own order stays
    return parts(events, Clock(events, division or 96))


class Clock:
    """Turns ticks into seconds."""

    def __init__(self, events: list[Event], division: int) -> None:
        changes = [(0, DEFAULT_TEMPO), *((e.tick, e.data[0]) for e in events if e.status == 0x51)]
        self.ticks = [tick for tick, _ in changes]
        self.rates = [tempo / 1e6 / division for _, tempo in changes]
        spans = ((b - a) * rate for (a, b), rate in zip(pairwise(self.ticks), self.rates,
                                                        strict=False))  # fmt: skip
        self.times = list(accumulate(spans, initial=0.0))

    def seconds(self, tick: int) -> float:
        """When a tick is."""
        at = bisect_right(self.ticks, tick) - 1
        return self.times[at] + (tick - self.ticks[at]) * self.rates[at]


def track_events(data: bytes) -> Iterator[Event]:
    """One track's messages and tempos; a track that breaks off ends there."""
    at, tick, status = 0, 0, 0
    try:
        while at < len(data):
            delta, at = number(data, at)
            tick += delta
            if data[at] & 0x80:
                status, at = data[at], at + 1
            if status in (0xFF, 0xF0, 0xF7):
                kind = data[at] if status == 0xFF else 0
                length, at = number(data, at + (status == 0xFF))
                if kind == 0x51:
                    yield Event(tick, 0x51, (int.from_bytes(data[at : at + length], "big"),))
                at += length
            else:
                length = LENGTHS[status >> 4]
                yield Event(tick, status, tuple(data[at : at + length]))
                at += length
    except (IndexError, KeyError):
        return


def number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length at `at`, and where it ends."""
    value = 0
    while True:
        byte, at = data[at], at + 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at


def parts(events: list[Event], clock: Clock) -> list[Part]:
    """Notes by channel and program. What is struck and never let go is left out."""
    programs, loud = [0] * 16, [[100 / 127, 1.0] for _ in range(16)]
    down: dict[tuple[int, int], tuple[float, int, float]] = {}
    found: dict[tuple[int, int], list[Note]] = {}
    for tick, status, data in events:
        kind, channel = status >> 4, status & 15
        if kind in (0x8, 0x9) and len(data) == 2:
            now, key = clock.seconds(tick), data[0]
            if (channel, key) in down:
                start, program, gain = down.pop((channel, key))
                note = Note(start, max(0.02, now - start), float(key), gain)
                found.setdefault((channel, program), []).append(note)
            if kind == 0x9 and data[1]:
                level = data[1] / 127 * loud[channel][0] * loud[channel][1]
                down[channel, key] = now, programs[channel], level**2
        elif kind == 0xC and data:
            programs[channel] = data[0]
        elif kind == 0xB and len(data) == 2 and data[0] in (VOLUME, EXPRESSION):
            loud[channel][data[0] == EXPRESSION] = data[1] / 127
    return [Part(program, channel == DRUM_CHANNEL, sorted(notes))
            for (channel, program), notes in sorted(found.items())]  # fmt: skip
