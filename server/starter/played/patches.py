"""Owns turning the patches of FreePats into instruments recorded note by note, by TiMidity++.

Knows programs and the keys that they are played on; `sampled` plays what is made here.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import MappingProxyType

import soundfile
from tqdm import tqdm

from server.starter.recorded import places
from server.starter.recorded.sound import Recording, read

CONFIG = ("node_modules/freepats", "freepats.cfg")
NOTES = "freepats-notes"  # the folder beside the packages
# General MIDI programs by role; left out are those whose loops do not decay as theirs should
PATCHES = MappingProxyType({
    "bass": (32, 33, 34, 35, 36, 37, 38),
    "guitar": (24, 25, 26, 27, 29, 30),
    "piano": (0, 1, 2, 5),
})  # fmt: skip
# the lowest and the highest key of each role
KEYS = MappingProxyType({"bass": (26, 60), "guitar": (38, 84), "piano": (26, 96)})
EVERY = 4  # keys
HELD, APART = 5.0, 7.0  # seconds that a key is held, and from one to the next
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
SR = 44_100


def main() -> None:
    """Render all of them where material lies. Raises FileNotFoundError for what is missing."""
    config = places.require(*CONFIG)
    if shutil.which("timidity") is None:
        raise FileNotFoundError("TiMidity++ is missing: apt-get install timidity")
    folder = config.parents[2] / NOTES
    programs = [(role, program) for role, programs in PATCHES.items() for program in programs]
    for role, program in tqdm(programs, "patches"):
        render(config, program, role, folder / str(program))


def render(config: Path, program: int, role: str, folder: Path) -> None:
    """One file a key into `folder`, named by its pitch."""
    lowest, highest = KEYS[role]
    keys = range(lowest, highest + 1, EVERY)
    with tempfile.TemporaryDirectory() as name:
        midi, wave = Path(name, "keys.mid"), Path(name, "keys.wav")
        midi.write_bytes(one_by_one(program, keys))
        subprocess.run(["timidity", "-c", config.name, "-Ow", f"-s{SR}", "--reverb=d", "-o", wave,
                        midi], cwd=config.parent, check=True, capture_output=True)  # fmt: skip
        sound = read(Recording(wave), SR)[0]
    folder.mkdir(parents=True, exist_ok=True)
    for i, key in enumerate(keys):
        note = sound[:, int(i * APART * SR) : int((i + 1) * APART * SR)]
        soundfile.write(folder / f"{NAMES[key % 12]}{key // 12 - 1}.ogg", note.T, SR)


def one_by_one(program: int, keys: range) -> bytes:
    """A Standard MIDI File of one track: `keys` (MIDI pitches), HELD and APART seconds."""
    per_second = 500  # ticks: 250 a quarter at 120 quarters a minute
    events = bytes((0, 0xC0, program))
    for key in keys:
        events += bytes((0, 0x90, key, 100)) + ticks(int(HELD * per_second))
        events += bytes((0x80, key, 0)) + ticks(int((APART - HELD) * per_second))
        events += bytes((0xB0, 123, 0))  # what still sounds is let go
    events += bytes((0, 0xFF, 0x2F, 0))
    head = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, per_second // 2)
    return head + struct.pack(">4sI", b"MTrk", len(events)) + events


def ticks(count: int) -> bytes:
    """A time as Standard MIDI Files write it, below 2^14: seven bits a byte, the top bit on all
    but the last."""
    return bytes((0x80 | count >> 7, count & 0x7F))


if __name__ == "__main__":
    main()
