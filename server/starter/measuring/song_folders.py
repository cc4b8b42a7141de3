"""Songs whose stems are known, in MUSDB18-HQ's layout: a folder a song, in it a file a stem, and
perhaps the mixture, and files that hold others (the instrumental its parts, vocals theirs).

Owns which files are songs, and what of them adds up to the mix.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile as sf

from server.audio.stereo import LIMIT
from server.engine.library.configuration import stem_name
from server.errors import StemboxError
from server.starter.measuring.measures import energy, level_db
from server.stems import REST_OF_MIX
from server.tracks import MIX

SR = 44100
# Of all stems; the first first: what is mastered is no sum.
MIXES = ("linear_mixture", "mixture", stem_name(MIX))
RESTS = ("no_vocals", "accompaniment")  # other names of the instrumental
KINDS = (".wav", ".flac")
NEAR = 1e-3  # of a sound's power: what differs by less, -30 dB, is the same


class OwnSong(NamedTuple):
    """A song's folder, the file of each of its stems, and that of its mixture."""

    folder: Path
    stems: Mapping[str, Path]
    mixture: Path | None = None

    @property
    def name(self) -> str:
        """For reports, which are text: what is none in the folder's name is replaced."""
        return os.fsencode(self.folder.name).decode(errors="replace")


class Sounds(NamedTuple):
    """A song's stems and their mix, (2, samples) each, all of one length.

    counted: the names of those that add up to the mix, in which each sound is once.
    """

    stems: Mapping[str, np.ndarray]
    mix: np.ndarray
    counted: Sequence[str]


def find_songs(folder: Path) -> list[OwnSong]:
    """The songs in a folder, or in its folders (MUSDB has `train` and `test`), by name.

    Raises StemboxError: there is none.
    """
    songs = []
    for place, names in _folders(folder):
        files = {_stem(path): path for name in names if is_sound(path := place / name)}
        stems = {name: path for name, path in files.items() if name not in MIXES}
        if len(stems) > 1:
            mixture = next((files[name] for name in MIXES if name in files), None)
            songs.append(OwnSong(place, stems, mixture))
    if not songs:
        raise StemboxError(
            f"{folder}: no folder with a file for each of two stems or more "
            "(vocals.wav, drums.wav, …)"
        )
    return sorted(songs, key=lambda song: song.folder)


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder once, and the names of its files; links are followed, which may lead back."""
    seen = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        known = os.stat(place)
        if (known.st_dev, known.st_ino) in seen:
            inner.clear()
            continue
        seen.add((known.st_dev, known.st_ino))
        inner.sort()
        yield Path(place), sorted(names)


def is_sound(path: Path) -> bool:
    """Whether a file may be a stem; those that begin with a dot are other systems' notes."""
    return path.suffix.lower() in KINDS and not path.name.startswith(".")


def is_voice(stem: str) -> bool:
    """Whether a stem is of voices, all of them or some."""
    return "vocals" in stem


def _stem(path: Path) -> str:
    """What a file's stem is called, as models call theirs."""
    try:
        name = stem_name(path.stem)
    except ValueError:  # of other letters than theirs: no model makes it
        return path.stem.lower()
    return REST_OF_MIX if name in RESTS else name


def check_songs(songs: Sequence[OwnSong]) -> None:
    """Raises StemboxError where a file's head tells that it cannot be used."""
    for song in songs:
        for path in _files(song).values():
            with _opened(path) as file:
                found = sf.info(file)
            _check(path, found.samplerate, found.channels)


def read_song(song: OwnSong, seconds: float | None) -> Sounds:
    """A song's stems, as long as the longest, and what their mix is. seconds: from its start; None:
    all of it.

    Raises StemboxError: a file cannot be used, or it cannot be told what adds up to the mix.
    """
    parts = _read(song, seconds)
    mixture = parts.pop(MIX, None)
    counted = _counted(song, parts)
    mix = np.sum([parts[name] for name in counted], axis=0)
    if (peak := float(np.abs(mix).max())) > LIMIT:  # models are given no more
        raise StemboxError(f"{song.folder}: samples up to {peak:.3g}, where full scale is 1")
    if mixture is not None and song.mixture is not None and not _near(mix, mixture):
        raise StemboxError(
            f"{song.folder}: {song.mixture.name} is not the sum of "
            f"{', '.join(counted)}: "
            f"{level_db(mixture - mix, mixture):.0f} dB of it differ"
        )
    return Sounds(parts, mix, counted)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """For libsndfile, which takes no names that are no text. Raises StemboxError: it cannot be
    read."""
    try:
        with path.open("rb") as file:
            yield file
    except sf.SoundFileError as error:
        raise StemboxError(f"{path}: {getattr(error, 'error_string', error)}") from None
    except OSError as error:
        raise StemboxError(f"{path}: {error.strerror}") from None


def _files(song: OwnSong) -> dict[str, Path]:
    return dict(song.stems) | ({} if song.mixture is None else {MIX: song.mixture})


def _read(song: OwnSong, seconds: float | None) -> dict[str, np.ndarray]:
    most = -1 if seconds is None else round(seconds * SR)
    parts = {}
    for name, path in _files(song).items():
        with _opened(path) as file:
            frames, rate = sf.read(file, frames=most, dtype="float32", always_2d=True)
        _check(path, rate, frames.shape[1])
        if not np.isfinite(frames).all():
            raise StemboxError(f"{path}: samples that are no numbers")
        parts[name] = np.repeat(frames.T, 3 - frames.shape[1], 0)[:2]
    longest = max(part.shape[1] for part in parts.values())
    if longest == 0:
        raise StemboxError(f"{song.folder}: no sound")
    return {name: np.pad(part, ((0, 0), (0, longest - part.shape[1])))
            for name, part in parts.items()}  # fmt: skip


def _check(path: Path, rate: int, channels: int) -> None:
    if rate != SR:
        raise StemboxError(f"{path}: want {SR} Hz, it has {rate}")
    if not 0 < channels < 3:
        raise StemboxError(f"{path}: want one or two channels, it has {channels}")


def _counted(song: OwnSong, parts: Mapping[str, np.ndarray]) -> list[str]:
    """Which stems add up to the mix. Beside vocals, parts of them do not count; of the instrumental
    and its parts those do if they are all of it, and else it does."""
    voices = {name for name in parts if is_voice(name)}
    inner = voices - {"vocals"} if "vocals" in parts else set()
    _check_within(song, parts, "vocals", inner)
    others = parts.keys() - voices - {REST_OF_MIX}
    if REST_OF_MIX in parts and others:
        _check_within(song, parts, REST_OF_MIX, others)
        whole = _near(np.sum([parts[name] for name in others], axis=0), parts[REST_OF_MIX])
        inner |= {REST_OF_MIX} if whole else others
    return [name for name in parts if name not in inner]


def _check_within(
    song: OwnSong, parts: Mapping[str, np.ndarray], whole: str, names: Collection[str]
) -> None:
    """Raises StemboxError where a sound has more power without one that should be in it."""
    for name in sorted(names):
        if energy(parts[whole] - parts[name]) > (1 + NEAR) * energy(parts[whole]):
            raise StemboxError(
                f"{song.folder}: {song.stems[name].name} is not heard in "
                f"{song.stems[whole].name}: what the mix is cannot be told"
            )


def _near(guess: np.ndarray, sound: np.ndarray) -> bool:
    return energy(sound - guess) <= NEAR * energy(sound)
