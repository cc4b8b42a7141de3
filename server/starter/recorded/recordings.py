"""Owns the recordings that measure the starter: sung voices over produced music, and real bands.

All of it is kept from training: voices, albums, songs. Knows parts and levels; no models.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from server.starter.played.orchestra import Orchestra, voices
from server.starter.recorded.albums import tracks
from server.starter.recorded.bands import band_songs, read_band
from server.starter.recorded.sound import Recording, read, seconds
from server.starter.synthesis.effects import active_rms
from server.starter.synthesis.score import compose
from server.starter.synthesis.stems import Studio, vocal_stem

SR = 44100
PEAK = 0.95  # of every mix
BAND_EVERY = 3  # one song of so many is a band's
TRIES = 8  # of a tune, until somebody sings in it
SILENT = 1e-3  # of full scale: the desk hums a little


class Recordings:
    """The songs of the set by number: their parts, whose sum is the mix.

    Two of three are a voice over an instrumental, "vocals" and "instrumental", equally loud; the
    third is a band, "guitar" and "backing". Raises FileNotFoundError naming what is missing.
    """

    def __init__(self) -> None:
        self.singers = Orchestra(1.0, MappingProxyType({}), voices(heard=False))
        self.music = tracks(heard=False)
        self.bands = band_songs(heard=False)

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
