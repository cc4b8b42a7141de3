"""Makes the bank of real bands, whose guitar and the rest were recorded apart:
python -m server.starter.recorded.bands BANK.

Knows which songs there are, for training and kept from it, and how they are cut.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from server.starter.recorded import places
from server.starter.recorded.accompaniment import CLIP, LEVEL, SR
from server.starter.recorded.sound import Recording, read
from server.starter.synthesis.effects import active_rms
from server.starter.training.filling import fill, mapped

SONGS = "usr/share/games/fretsonfire/data/songs"
PARTS = ("guitar", "backing")  # the latter: all but the guitar


class BandSong(NamedTuple):
    """A song of a package: a folder with guitar.ogg and song.ogg, which holds the rest."""

    package: str
    folder: str
    heard: bool = False  # False: kept from training


BAND_SONGS = (
    BandSong("fretsonfire-songs-sectoid", "sectoid/Metal madness", heard=True),
    BandSong("fretsonfire-songs-sectoid", "sectoid/Escape from chaosland", heard=True),
    BandSong("fretsonfire-songs-sectoid", "sectoid/Feelings"),
    BandSong("fretsonfire-songs-sectoid", "sectoid/War of freedom"),
    BandSong("fretsonfire-songs-muldjord", "muldjord/chaos_god"),
    BandSong("fretsonfire-songs-muldjord", "muldjord/internal_degeneration"),
    BandSong("fretsonfire-songs-muldjord", "muldjord/mutilated_mime"),
    BandSong("fretsonfire-songs-muldjord", "muldjord/armygeddon"),
)


def band_songs(heard: bool) -> list[BandSong]:
    """The songs for training or kept from it. Raises FileNotFoundError unless all are at hand."""
    wanted = [song for song in BAND_SONGS if song.heard == heard]
    missing = [song.package for song in wanted if not places.find(song.package, place(song))]
    if missing:
        raise FileNotFoundError(places.advice(missing))
    return wanted


def place(song: BandSong) -> str:
    """The song's folder within its package."""
    return f"{SONGS}/{song.folder}"


def read_band(song: BandSong) -> dict[str, np.ndarray]:
    """The song's PARTS, each (2, n) float32 at 44.1 kHz. Raises FileNotFoundError."""
    folder = places.require(song.package, place(song))
    guitar, rest = (read(Recording(folder / name), SR)[0] for name in ("guitar.ogg", "song.ogg"))
    length = max(guitar.shape[1], rest.shape[1])
    return {part: np.pad(x, ((0, 0), (0, length - x.shape[1])))
            for part, x in zip(PARTS, (guitar, rest), strict=True)}  # fmt: skip


def open_bands(path: Path, workers: int = 1, length: float = CLIP) -> torch.Tensor:
    """Clips (clips, parts, 2, samples) float16 of the songs for training, every mix at LEVEL.

    Made, and gone on with, as the other banks. Raises FileNotFoundError naming packages.
    """
    row = (len(PARTS), 2, round(length * SR))
    if path.exists():
        return mapped(path, row)
    songs = band_songs(heard=True)
    counts = [max(1, read_band(song)["guitar"].shape[1] // row[-1]) for song in songs]
    firsts = np.cumsum([0, *counts[:-1]]).tolist()
    path.with_suffix(".json").write_text(json.dumps(PARTS))
    return fill(path, (sum(counts), *row), list(zip(songs, firsts, counts, strict=True)),
                write_clips, workers)  # fmt: skip


def write_clips(bank: np.ndarray, cut: tuple[BandSong, int, int]) -> None:
    """Cut one song into its rows, from its beginning."""
    song, first, clips = cut
    parts = np.stack([*read_band(song).values()])
    parts *= np.float32(LEVEL / (active_rms(parts.sum(0), SR) or 1.0))
    length = bank.shape[-1]
    for row in range(clips):
        clip = parts[..., row * length : (row + 1) * length]
        bank[first + row, ..., : clip.shape[-1]] = clip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.recorded.bands",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("bank", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    print(f"{args.bank}: {tuple(open_bands(args.bank, args.workers).shape)}")


if __name__ == "__main__":
    main()
