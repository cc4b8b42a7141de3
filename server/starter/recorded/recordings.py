"""Owns the recordings that measure the starter: sung voices over produced music, and real bands.

All of it is kept from training: voices, albums, songs. Knows parts and levels; no models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from server.starter.played.orchestra import Orchestra
from server.starter.played.speakers import PERSONS, VOICES, Voice, available
from server.starter.recorded import places
from server.starter.recorded.albums import tracks
from server.starter.recorded.bands import band_songs, read_band
from server.starter.recorded.sound import Recording, read, seconds
from server.starter.synthesis.effects import active_rms
from server.starter.synthesis.score import compose
from server.starter.synthesis.stems import Studio, vocal_stem

Found = TypeVar("Found")
SR = 44100
PEAK = 0.95  # of every mix
BAND_EVERY = 3  # one song of so many is a band's
TRIES = 8  # of a tune, until somebody sings in it
SILENT = 1e-3  # of full scale: the desk hums a little


class Recordings:
    """The songs of the set by number: their parts, whose sum is the mix.

    Two of three are a voice over an instrumental, "vocals" and "instrumental", equally loud; the
    third is a band, "guitar" and "backing". Raises FileNotFoundError naming all that is missing.
    """

    def __init__(self) -> None:
        missing: list[str] = []
        voices = sought(unheard_voices, missing)
        self.music = sought(partial(tracks, heard=False), missing)
        self.bands = sought(partial(band_songs, heard=False), missing)
        if missing:
            raise FileNotFoundError("; ".join(missing))
        self.singers = Orchestra(1.0, MappingProxyType({}), tuple(voices))

    def play(self, number: int, length: float) -> dict[str, np.ndarray]:
        """Song `number`, `length` seconds of it at most: each part (2, n) float32 at 44.1 kHz.

        Equal arguments give equal samples where equal packages are installed.
        """
        place, kind = divmod(number, BAND_EVERY)
        if kind == BAND_EVERY - 1:
            return levelled(middle(read_band(self.bands[place % len(self.bands)]), length))
        rng = np.random.default_rng((number, 0x5EC))
        music = self.instrumental(rng, length)
        voice = sung(self.singers, rng, music.shape[1])
        voice *= np.float32(active_rms(music, SR) / active_rms(voice, SR))
        return levelled({"vocals": voice, "instrumental": music})

    def instrumental(self, rng: np.random.Generator, length: float) -> np.ndarray:
        """The middle of a track drawn at random: (2, n) float32."""
        long_enough = [track for track in self.music if seconds(track) >= length] or self.music
        track: Recording = long_enough[int(rng.integers(len(long_enough)))]
        return middle({"it": read(track, SR)[0]}, length)["it"]


def sought(find: Callable[[], Sequence[Found]], missing: list[str]) -> Sequence[Found]:
    """What `find` finds, or nothing and a word more in `missing`."""
    try:
        return find()
    except FileNotFoundError as reason:
        missing.append(str(reason))
        return ()


def unheard_voices() -> list[Voice]:
    """All voices kept from training, recorded and synthesised. Raises FileNotFoundError naming
    the packages if any is missing: figures are to be compared."""
    kept = [voice for voice in VOICES if not voice.heard]
    missing = [package(voice) for voice in kept if not available(voice)]
    if missing:
        raise FileNotFoundError(f"{places.advice(missing)}, and pip install pyworld")
    return kept


def package(voice: Voice) -> str:
    """Where a voice comes from."""
    return PERSONS[voice.variant].package if voice.kind == "recorded" else voice.kind


def sung(singers: Orchestra, rng: np.random.Generator, n: int) -> np.ndarray:
    """A tune of chance, sung and mixed as the songs' vocals are: (2, n) float32, not silent."""
    for _ in range(TRIES):
        voice = vocal_stem(Studio(compose(rng, n / SR), n, SR, singers), rng)
        if active_rms(voice, SR) > SILENT:
            return voice
    raise ValueError("nobody sings")


def middle(parts: dict[str, np.ndarray], length: float) -> dict[str, np.ndarray]:
    """`length` seconds from the middle of the parts, or all of what is shorter."""
    whole = next(iter(parts.values())).shape[1]
    n = min(whole, round(length * SR))
    start = (whole - n) // 2
    return {name: x[:, start : start + n] for name, x in parts.items()}


def levelled(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parts, their sum peaking at PEAK."""
    peak = float(np.abs(sum(parts.values())).max())
    gain = np.float32(PEAK / peak if peak else 1.0)
    return {name: np.ascontiguousarray(gain * x) for name, x in parts.items()}
