"""Measures a separation model on songs that it never heard: python -m server.starter.quality.

Training takes song seeds below 1,000,000, its validation those below 2,000,000; the songs here
start at 2,000,000. Owns which songs, targets and baselines are compared; knows nothing of how a
model came to be.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from demucs.apply import BagOfModels, Model, apply_model
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.engine.library.catalog import ModelFiles, whole
from server.engine.loading import load_bag
from server.starter.measuring import picture
from server.starter.measuring.baselines import (
    Guesses,
    equal_shares,
    ideal_ratio_mask,
    split_by_hpss,
)
from server.starter.measuring.measures import is_silent, level_db, measure
from server.starter.measuring.report import Leak, Report, Score, SetResult, markdown
from server.starter.played.orchestra import unheard_orchestra
from server.starter.recorded.recordings import Recordings
from server.starter.songs import STEMS, synthesise

WEIGHTS = Path(__file__).parent / "weights"
SR = 44100
# what is measured: stems, then sums of stems that other models have or that recordings give
TARGETS = MappingProxyType({
    **{stem: frozenset((stem,)) for stem in STEMS},
    "other4": frozenset(("other", "guitar", "piano")),
    "instrumental": frozenset(STEMS) - {"vocals"},
    "backing": frozenset(STEMS) - {"guitar"},
})  # fmt: skip
FIRST_RECORDING = 4_000_000
ONLY_RECORDED = frozenset(("backing",))  # not measured where all the stems are known

Song = dict[str, np.ndarray]
Method = Callable[[np.ndarray], Guesses]


class SongSet(NamedTuple):
    """Songs by seed; `open` readies what plays them, and may raise FileNotFoundError."""

    name: str
    about: str
    first_seed: int
    open: Callable[[], Callable[[int, float], Song]]


def open_synthetic() -> Callable[[int, float], Song]:
    """The project's own instruments, which training has heard in other songs."""
    return synthesise


def open_unheard() -> Callable[[int, float], Song]:
    """SoundFonts and voices kept from training."""
    return partial(synthesise, orchestra=unheard_orchestra())


def open_recordings() -> Callable[[int, float], Song]:
    """Sung voices over produced music, and bands; what must be installed is said if it is not."""
    play = Recordings().play
    return lambda seed, seconds: play(seed - FIRST_RECORDING, seconds)


SETS = (
    SongSet("synthetic", "new songs on the project's own instruments", 2_000_000, open_synthetic),
    SongSet("unheard", "instruments and voices that training never heard", 3_000_000, open_unheard),
    SongSet("recordings", "voices that training never heard sing over produced music that it never "
            "heard, equally loud; every third a real band, guitar against the rest",
            FIRST_RECORDING, open_recordings),
)  # fmt: skip


def separate(model: Model | BagOfModels, mix: np.ndarray) -> Guesses:
    """The model's sources by name; mix (2, samples) at 44.1 kHz."""
    with torch.no_grad():
        parts = apply_model(model, torch.from_numpy(mix)[None], shifts=0, overlap=0.25)[0]
    return dict(zip(model.sources, parts.numpy(), strict=True))


def formed(guesses: Mapping[str, np.ndarray], target: frozenset[str]) -> np.ndarray | None:
    """The guess at a sum of stems, if those at hand add up to one.

    A source means the stem or the sum of its name; `other` means also every stem without a source.
    """
    rest = frozenset(STEMS) - guesses.keys()
    meaning = {s: TARGETS.get(s, frozenset((s,))) | (rest if s == "other" else frozenset())
               for s in guesses}  # fmt: skip
    inside = [source for source in guesses if meaning[source] <= target]
    if frozenset().union(*(meaning[source] for source in inside)) != target:
        return None
    return np.sum([guesses[source] for source in inside], axis=0)


def truths(song: Song) -> dict[str, np.ndarray]:
    """The targets that a song's parts, stems or sums of them, add up to: each (2, samples)."""
    known = {target: formed(song, stems) for target, stems in TARGETS.items()
             if target in song or target not in ONLY_RECORDED}  # fmt: skip
    return {target: truth for target, truth in known.items() if truth is not None}


def score_song(number: int, song: Song, methods: Mapping[str, Method]) -> Iterator[Score | Leak]:
    """Separate the sum of a song's parts, each (2, samples), by every method, by the oracle that
    knows them, and as the mix itself; score it.

    What a method cannot form is left out; what is silent in the song has no score, but a leak.
    """
    mix = np.sum(list(song.values()), axis=0)
    made = {name: method(mix) for name, method in methods.items()}
    made["oracle"] = ideal_ratio_mask(song)
    for target, truth in truths(song).items():
        guesses = {name: formed(guess, TARGETS[target]) for name, guess in made.items()}
        for name, guess in (guesses | {"mix": mix}).items():
            if guess is None:
                continue
            if is_silent(truth):
                yield Leak(number, target, name, level_db(guess, mix))
            else:
                yield Score(number, target, name, *measure(truth, guess))


def measure_set(
    songs: SongSet, model: Model | BagOfModels, count: int, seconds: float
) -> SetResult:
    """Every score of a set's first `count` songs, or what this machine lacks to play them."""
    methods: dict[str, Method] = {
        "model": partial(separate, model),
        "hpss": split_by_hpss,
        f"mix/{len(STEMS)}": partial(equal_shares, stems=STEMS),
    }
    seeds = list(range(songs.first_seed, songs.first_seed + count))
    try:
        play = songs.open()
    except FileNotFoundError as missing:
        return SetResult(songs.name, songs.about, seconds, seeds, [], [], [], str(missing))
    rows = [row for seed in tqdm(seeds, desc=songs.name, unit="song", mininterval=2.0)
            for row in score_song(seed, play(seed, seconds), methods)]  # fmt: skip
    targets = list(dict.fromkeys(row.target for row in rows if row.method == "model"))
    scores = [row for row in rows if isinstance(row, Score)]
    leaks = [row for row in rows if isinstance(row, Leak)]
    return SetResult(songs.name, songs.about, seconds, seeds, targets, scores, leaks)


def silence_peak(model: Model | BagOfModels, seconds: float = 10.0) -> float:
    """The loudest sample, of full scale, of any source for `seconds` of digital silence."""
    made = separate(model, np.zeros((2, round(seconds * SR)), np.float32))
    return float(max(np.abs(guess).max() for guess in made.values()))


def digest(*models: ModelFiles) -> str:
    """SHA-256 of models' listings and weights, in hexadecimal."""
    found = hashlib.sha256()
    for files in models:
        for path in (files.listing, *files.files):
            found.update(path.read_bytes())
    return found.hexdigest()


def write(report: Report, folder: Path) -> None:
    """quality.json, quality.md and, where matplotlib is installed, quality.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quality.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    (folder / "quality.md").write_text(markdown(report))
    try:
        picture.draw(report, folder / "quality.png")
    except ImportError:
        print("no picture: matplotlib is missing (make setup-dev installs it)", file=sys.stderr)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.quality", description=__doc__)
    parser.add_argument("--songs", type=int, default=20, help="of each set")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", type=Path, default=WEIGHTS / "starter.yaml",
                        help="a model's listing, its weights beside it")  # fmt: skip
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where quality.* are written")
    args = parser.parse_args()
    if args.songs < 1 or args.seconds < 1:
        parser.error("it takes at least one song of a second")
    if (files := whole(args.model.stem, args.model.parent)) is None:
        parser.error(f"{args.model}: not a model's listing with all its weights beside it")
    prepare_cpu(torch.get_num_threads())
    model = load_bag(files)
    sets = [measure_set(songs, model, args.songs, args.seconds) for songs in SETS]
    report = Report(files.name, digest(files), list(model.sources), silence_peak(model), sets)
    print(markdown(report))
    write(report, args.out)


if __name__ == "__main__":
    main()
