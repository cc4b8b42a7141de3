"""Measures an installed model on songs whose stems are known, in MUSDB18-HQ's layout: a folder a
song, in it a file a stem, and perhaps the mixture, which is taken to be the stems' sum, and the
instrumental beside its parts.

Owns which files are songs and what is compared; how a model is run is the engine's business.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

from server.engine.library.choice import Choice
from server.errors import StemboxError
from server.offline import Offline
from server.offline import Report as Progress
from server.starter.measuring.baselines import ideal_ratio_mask, split_by_hpss
from server.starter.measuring.measures import is_silent, level_db, measure
from server.starter.measuring.report import Leak, Score, SetResult
from server.stems import MIX, PARTS_OF_OTHER, REST_OF_MIX, can_make

SR = 44100
MIXES = frozenset(("mixture", MIX))  # of all stems
KINDS = (".wav", ".flac")


class OwnSong(NamedTuple):
    """A song's folder, and the file of each of its stems."""

    folder: Path
    stems: Mapping[str, Path]


def find_songs(folder: Path) -> list[OwnSong]:
    """The songs in a folder, or in its folders (MUSDB has `train` and `test`), by name.

    Raises StemboxError: there is none.
    """
    songs = []
    for place in sorted({path.parent for path in folder.rglob("*") if is_sound(path)}):
        files = {path.stem.lower(): path for path in sorted(place.iterdir()) if is_sound(path)}
        stems = {name: path for name, path in files.items() if name not in MIXES}
        if len(stems) > 2 and "vocals" in stems:
            stems.pop(REST_OF_MIX, None)  # what the others are together
        if len(stems) > 1:
            songs.append(OwnSong(place, stems))
    if not songs:
        raise StemboxError(f"{folder}: no folder with a file for each of two stems or more "
                           "(vocals.wav, drums.wav, …)")
    return songs


def is_sound(path: Path) -> bool:
    """Whether a file may be a stem; those that begin with a dot are other systems' notes."""
    return path.suffix.lower() in KINDS and not path.name.startswith(".")


def wanted_of(songs: Sequence[OwnSong], model: Choice) -> tuple[str, ...]:
    """What can be compared: the songs' stems that the model makes, and the instrumental.

    Raises StemboxError: nothing can.
    """
    known = dict.fromkeys(name for song in songs for name in song.stems)
    wanted = [name for name in known if can_make([name], model.stems)]
    if "vocals" in wanted:
        wanted.append(REST_OF_MIX)
    if not wanted:
        raise StemboxError(f"model {model.name} makes none of {', '.join(known)}")
    return tuple(dict.fromkeys(wanted))


def measure_songs(
    songs: Sequence[OwnSong], offline: Offline, seconds: float | None, report: Progress
) -> SetResult:
    """Every score of the model, of HPSS, of the oracle and of the mix itself.

    offline: makes what `wanted_of` says; seconds: of each song, from its start; None: all of it.
    Raises StemboxError, AudioError: a file cannot be used.
    """
    rows: list[Score | Leak] = []
    lengths = []
    for number, song in enumerate(songs):
        parts = read_stems(song, seconds)
        lengths.append(next(iter(parts.values())).shape[1] / SR)

        def told(stage: str, done: float, number: int = number) -> None:
            report(f"{song.folder.name}: {stage}", (number + done) / len(songs))  # noqa: B023

        mix = np.sum(list(parts.values()), axis=0)
        rows += score(number, parts, mix, separated(offline, mix, told))
    targets = list(dict.fromkeys(row.target for row in rows if row.method == "model"))
    names = [song.folder.name for song in songs]
    return SetResult(
        "own songs", f"{len(songs)} with known stems, by {offline.name}",
        round(sum(lengths) / len(lengths), 1), list(range(len(songs))), targets,
        [row for row in rows if isinstance(row, Score)],
        [row for row in rows if isinstance(row, Leak)], titles=tuple(names),
    )  # fmt: skip


def read_stems(song: OwnSong, seconds: float | None) -> dict[str, np.ndarray]:
    """The stems as (2, samples), all of one length: that of the longest. Raises StemboxError."""
    most = -1 if seconds is None else round(seconds * SR)
    parts = {}
    for name, path in song.stems.items():
        try:
            frames, rate = sf.read(path, frames=most, dtype="float32", always_2d=True)
        except sf.SoundFileError as error:
            raise StemboxError(f"{path}: {error}") from None
        if rate != SR:
            raise StemboxError(f"{path}: want {SR} Hz, it has {rate}")
        if not 0 < frames.shape[1] < 3:
            raise StemboxError(f"{path}: want one or two channels, it has {frames.shape[1]}")
        parts[name] = np.repeat(frames.T, 3 - frames.shape[1], 0)[:2]
    longest = max(part.shape[1] for part in parts.values())
    if longest == 0:
        raise StemboxError(f"{song.folder}: no sound")
    return {name: np.pad(part, ((0, 0), (0, longest - part.shape[1])))
            for name, part in parts.items()}  # fmt: skip


def separated(offline: Offline, mix: np.ndarray, report: Progress) -> dict[str, np.ndarray]:
    """The model's tracks of a mix (2, samples), in float, as the server makes them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixture.wav"
        sf.write(path, mix.T, SR, subtype="FLOAT")
        return offline.tracks(path, report)


def score(
    number: int, parts: Mapping[str, np.ndarray], mix: np.ndarray, made: Mapping[str, np.ndarray]
) -> Iterator[Score | Leak]:
    """The figures of one song; what is silent in it has no score, but a leak."""
    truths = dict(parts)
    if "vocals" in parts:
        truths[REST_OF_MIX] = mix - parts["vocals"]
    oracle = ideal_ratio_mask(dict(parts))
    if "vocals" in oracle:
        oracle[REST_OF_MIX] = mix - oracle["vocals"]
    hpss = split_by_hpss(mix)
    hpss["other"] = hpss["other"] + sum(hpss[part] for part in PARTS_OF_OTHER if part not in parts)
    for target, guess in made.items():
        if target not in truths:
            continue
        truth = truths[target]
        guesses = {"model": guess, "hpss": hpss.get(target), "oracle": oracle.get(target),
                   "mix": mix}  # fmt: skip
        for method, found in guesses.items():
            if found is None:
                continue
            if is_silent(truth):
                yield Leak(number, target, method, level_db(found, mix))
            else:
                yield Score(number, target, method, *measure(truth, found))
