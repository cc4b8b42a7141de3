"""Measures an installed model on songs whose stems are known.

Owns what is compared; how a model is run is the engine's business.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from server.engine.library.choice import Choice
from server.errors import StemboxError
from server.offline import Offline
from server.offline import Report as Progress
from server.starter.measuring.baselines import ideal_ratio_mask, split_by_hpss
from server.starter.measuring.measures import is_silent, level_db, measure
from server.starter.measuring.report import Leak, Score, SetResult
from server.starter.measuring.song_folders import SR, OwnSong, Sounds, is_voice, read_song
from server.stems import PARTS, REST_OF_MIX, can_make


def wanted_of(songs: Sequence[OwnSong], model: Choice) -> tuple[str, ...]:
    """What can be compared: the songs' stems that the model makes, and the instrumental. With
    `other` all beside which that is what the model leaves.

    Raises StemboxError: nothing can.
    """
    known = dict.fromkeys(name for song in songs for name in song.stems)
    wanted = [name for name in known if can_make([name], model.stems)]
    if "vocals" in wanted:
        wanted.append(REST_OF_MIX)
    if "other" in wanted:
        wanted += told_apart(model)
    if not wanted:
        raise StemboxError(f"model {model.name} makes none of {', '.join(known)}")
    return tuple(dict.fromkeys(wanted))


def told_apart(model: Choice) -> tuple[str, ...]:
    """The stems that add up to the mix with a model's `other`: of a preset, those of the step that
    makes it. What is in another of them, as the kick is in the drums, is none."""
    made = model.stems or ()
    if model.layout is not None:
        steps = (stage.sources for stage in model.layout.stages)
        made = tuple(stem for stem in next((s for s in steps if "other" in s), {}) if stem in made)
    inside = {part for whole, parts in PARTS.items() if whole in made and whole != REST_OF_MIX
              for part in parts}  # fmt: skip
    return tuple(stem for stem in made if stem not in inside)


def measure_songs(
    songs: Sequence[OwnSong],
    offline: Offline,
    apart: Collection[str],
    seconds: float | None,
    report: Progress,
) -> SetResult:
    """Every score of the model, of HPSS, of the oracle and of the mix itself. A song that cannot be
    measured is told on standard error, and is not among those of the result.

    offline: makes what `wanted_of` says; apart: what `told_apart` says; seconds: of each song, from
    its start; None: all of it.
    Raises StemboxError: no song can be measured.
    """
    rows: list[Score | Leak] = []
    lengths: list[float] = []
    names: list[str] = []
    for place, song in enumerate(songs):

        def told(stage: str, done: float, place: int = place, name: str = song.name) -> None:
            report(f"{name}: {stage}", (place + done) / len(songs))

        try:
            sounds = read_song(song, seconds)
            if is_silent(sounds.mix):
                raise StemboxError(f"{song.folder}: nothing is heard in what is measured")
            made = separated(offline, sounds.mix, told)
        except (StemboxError, OSError) as error:
            said = getattr(error, "message", str(error))
            named = "" if str(song.folder) in said else f"{song.folder}: "
            print(f"stembox: {named}{said}", file=sys.stderr)
            continue
        rows += score(len(names), sounds, made, apart)
        lengths.append(sounds.mix.shape[1] / SR)
        names.append(song.name)
    if not names:
        raise StemboxError("no song could be measured")
    targets = list(dict.fromkeys(row.target for row in rows if row.method == "model"))
    return SetResult(
        "own songs", f"{len(names)} with known stems, by {offline.name}",
        round(sum(lengths) / len(lengths), 1), list(range(len(names))), targets,
        [row for row in rows if isinstance(row, Score)],
        [row for row in rows if isinstance(row, Leak)], titles=tuple(names),
    )  # fmt: skip


def separated(offline: Offline, mix: np.ndarray, report: Progress) -> dict[str, np.ndarray]:
    """The model's tracks of a mix (2, samples), in float, as the server makes them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixture.wav"
        with path.open("wb") as file:  # which says why it cannot be written; libsndfile does not
            sf.write(file, mix.T, SR, subtype="FLOAT", format="WAV")
        return offline.tracks(path, report)


def score(
    number: int, sounds: Sounds, made: Mapping[str, np.ndarray], apart: Collection[str]
) -> Iterator[Score | Leak]:
    """The figures of one song; what is silent in it has no score, but a leak.

    apart: what the model tells apart from its `other`.
    """
    stems, mix, counted = sounds
    truths, guesses = dict(stems), dict(made)
    oracle = ideal_ratio_mask({name: stems[name] for name in counted})
    if "vocals" in stems:
        truths[REST_OF_MIX] = mix - stems["vocals"]
    if "vocals" in oracle:
        oracle[REST_OF_MIX] = mix - oracle["vocals"]
    hpss = split_by_hpss(mix)
    if "other" in made:
        _add(hpss, [name for name in hpss if name not in made.keys() & stems.keys()])
        _add(guesses, [name for name in made if name in apart and name not in stems
                       and name != REST_OF_MIX
                       and not (is_voice(name) and any(map(is_voice, stems)))])  # fmt: skip
        beside = [name for name in counted if name not in made
                  and not (is_voice(name) and "vocals" in made)]  # fmt: skip
        _add(truths, beside)
        _add(oracle, beside)
        if "other" not in counted:  # what is beside it in the mix is in no file
            truths.pop("other", None)
    for target, guess in guesses.items():
        if target not in truths:
            continue
        truth = truths[target]
        methods = {"model": guess, "hpss": hpss.get(target), "oracle": oracle.get(target),
                   "mix": mix}  # fmt: skip
        for method, found in methods.items():
            if found is None:
                continue
            if is_silent(truth):
                yield Leak(number, target, method, level_db(found, mix))
            else:
                yield Score(number, target, method, *measure(truth, found))


def _add(sounds: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Lets `other` be the same rest on both sides: adds what a song has apart and the model does
    not, or the model and not the song."""
    if "other" in sounds:
        sounds["other"] = np.sum([sounds[name] for name in {"other", *names}], axis=0)
