"""Makes excerpts to listen to, mix, truth and guess side by side: python -m server.starter.listen.

A web page and FLAC files in a folder, of the songs that `quality` measures. Owns the page; what is
measured and how a model separates is quality's business.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from demucs.apply import BagOfModels, Model
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.engine.library.catalog import whole
from server.engine.loading import load_bag
from server.starter.measuring.measures import is_silent, sdr
from server.starter.quality import (
    SETS,
    SR,
    TARGETS,
    WEIGHTS,
    Song,
    SongSet,
    formed,
    separate,
    truths,
)

AROUND = 5.0  # seconds that the model hears before and after an excerpt
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem;
  padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ padding: .2rem .6rem .2rem 0; text-align: left }}
td.db {{ font-variant-numeric: tabular-nums; text-align: right }}
audio {{ height: 2rem; width: 100%; min-width: 12rem }}
</style>
<h1>{title}</h1>
<p>Excerpts of {seconds:g} seconds: what was mixed, each part as it was, and what the model made of
the mix. SDR is of the excerpt, in dB.</p>
{sections}
</html>
"""
TABLE = """\
<h2>{name}, song {number:,}</h2>
<p>Mix <audio controls preload="none" src="{mix}"></audio></p>
<table><tr><th>part<th>SDR<th>truth<th>guess</tr>
{rows}
</table>"""
ROW = """\
<tr><td>{target}<td class="db">{sdr}<td><audio controls preload="none" src="{truth}"></audio>\
<td><audio controls preload="none" src="{guess}"></audio></tr>"""


class Excerpt(NamedTuple):
    """A target in an excerpt: as it was and as it was guessed, each (2, n)."""

    target: str
    truth: np.ndarray
    guess: np.ndarray


def excerpts(
    song: Song, model: Model | BagOfModels, seconds: float
) -> tuple[np.ndarray, list[Excerpt]]:
    """The mix (2, n), n at most `seconds`, and every target that plays there and that the model
    gives, from the song's loudest stretch."""
    mix = np.sum(list(song.values()), axis=0)
    first, last = loudest(mix, round(seconds * SR))
    before = max(0, first - round(AROUND * SR))
    around = slice(before, last + round(AROUND * SR))
    guesses = separate(model, np.ascontiguousarray(mix[:, around]))
    here = slice(first - before, last - before)
    found = []
    for target, truth in truths(song).items():
        guess = formed(guesses, TARGETS[target])
        if guess is not None and not is_silent(truth[:, first:last]):
            found.append(Excerpt(target, truth[:, first:last], guess[:, here]))
    return mix[:, first:last], found


def loudest(mix: np.ndarray, n: int) -> tuple[int, int]:
    """Where the `n` samples with the most energy begin and end, to a tenth of a second."""
    hop = SR // 10
    power = np.square(mix).mean(0)
    sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    starts = np.arange(0, max(1, mix.shape[1] - n + 1), hop)
    ends = np.minimum(starts + n, mix.shape[1])
    best = int(np.argmax(sums[ends] - sums[starts]))
    return int(starts[best]), int(ends[best])


def write_song(folder: Path, name: str, number: int, mix: np.ndarray, parts: list[Excerpt]) -> str:
    """Write a song's FLAC files, all at one gain; returns its part of the page."""
    loud = [mix, *(x for part in parts for x in part[1:])]
    gain = 0.99 / max(0.99, *(float(np.abs(x).max(initial=0.0)) for x in loud))

    def write(part: str, sound: np.ndarray) -> str:
        file = f"{name}-{number}-{part}.flac"
        soundfile.write(folder / file, (gain * sound).T, SR, subtype="PCM_16")
        return html.escape(file)

    rows = [
        ROW.format(
            target=part.target,
            sdr=f"{sdr(part.truth, part.guess):.1f}",
            truth=write(f"{part.target}-truth", part.truth),
            guess=write(f"{part.target}-guess", part.guess),
        )
        for part in parts
    ]
    return TABLE.format(name=html.escape(name), number=number, mix=write("mix", mix),
                        rows="\n".join(rows))  # fmt: skip


def sections(
    songs: SongSet, model: Model | BagOfModels, folder: Path, count: int, seconds: float
) -> Iterator[str]:
    """The page's sections of one set, or one that says why there is none."""
    try:
        play = songs.open()
    except FileNotFoundError as missing:
        yield f"<h2>{html.escape(songs.name)}</h2>\n<p>{html.escape(str(missing))}</p>"
        return
    numbers = range(songs.first_seed, songs.first_seed + count)
    for number in tqdm(numbers, desc=songs.name, unit="song", mininterval=2.0):
        mix, parts = excerpts(play(number, 4.0 * seconds), model, seconds)
        yield write_song(folder, songs.name, number, mix, parts)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.listen", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("listen"), help="a folder")
    parser.add_argument("--songs", type=int, default=3, help="of each set")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each excerpt")
    parser.add_argument("--model", type=Path, default=WEIGHTS / "starter.yaml",
                        help="a model's listing, its weights beside it")  # fmt: skip
    args = parser.parse_args()
    if args.songs < 1 or args.seconds < 1:
        parser.error("it takes at least one song and a second")
    if (files := whole(args.model.stem, args.model.parent)) is None:
        parser.error(f"{args.model}: not a model's listing with all its weights beside it")
    prepare_cpu(torch.get_num_threads())
    model = load_bag(files)
    args.out.mkdir(parents=True, exist_ok=True)
    found = (sections(songs, model, args.out, args.songs, args.seconds) for songs in SETS)
    title = f"stembox: {html.escape(files.name)}"
    written = "\n".join(chain.from_iterable(found))
    page = PAGE.format(title=title, seconds=args.seconds, sections=written)
    (args.out / "index.html").write_text(page)
    print(f"listen: {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
