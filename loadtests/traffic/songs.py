"""The songs that are sent: made here, seeded, kept in a cache folder between runs."""

import io
import os
import random
from pathlib import Path
from typing import Final, NamedTuple

SAMPLE_RATE: Final = 44100
PART: Final = 30.0  # seconds that are made anew; longer songs repeat them
SEED: Final = 2_000_300
VERSION: Final = 1  # another one where the same seed makes another song


class Song(NamedTuple):
    """One file to send; `seconds` of audio."""

    path: Path
    seconds: float

    def read(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def cache_folder() -> Path:
    """Where songs are kept: below XDG's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stembox" / "songs"


def make(folder: Path, lengths: list[float]) -> list[Song]:
    """FLACs of these lengths in seconds, in the same order; made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Song(_made(folder, number, seconds), seconds) for number, seconds in enumerate(lengths)]


def pick(songs: list[Song], weights: list[float], chance: random.Random) -> Song:
    """One of the songs, as often as its weight says."""
    return chance.choices(songs, weights)[0]


def _made(folder: Path, number: int, seconds: float) -> Path:
    path = folder / f"v{VERSION}-{number}-{seconds:g}s.flac"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_flac(SEED + number, seconds))
        os.replace(part, path)
    return path


def _flac(seed: int, seconds: float) -> bytes:
    import numpy as np
    import soundfile as sf

    from server.starter.songs import synthesise

    stems = synthesise(seed, min(seconds, PART)).values()
    mix = np.sum(np.stack(list(stems)), axis=0).T
    file = io.BytesIO()
    with sf.SoundFile(file, "w", SAMPLE_RATE, 2, "PCM_16", format="FLAC") as out:
        left = round(seconds * SAMPLE_RATE)
        while left > 0:
            out.write(mix[:left])
            left -= len(mix)
    return file.getvalue()
