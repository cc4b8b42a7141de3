"""Owns the training material on disk: songs made once, of which some parts are known.

A file is float16 of shape (songs, parts, 2, samples). A part is a stem or a sum of stems; beside
a file whose parts are not the six stems lies `<name>.json` with a list of their names.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from server.starter.played.orchestra import training_orchestra
from server.starter.songs import STEMS, synthesise

SR = 44100
SONG_SECONDS = 24.0


class Bank(NamedTuple):
    """Songs whose parts are known apart: float16 (songs, parts, 2, samples).

    share: how often it is drawn from, beside the other banks' shares.
    """

    songs: torch.Tensor
    parts: tuple[str, ...] = STEMS
    share: float = 1.0

    def of(self, part: str) -> torch.Tensor:
        """One part of all songs: (songs, 2, samples)."""
        return self.songs[:, self.parts.index(part)]


def load_bank(path: Path, device: str = "cpu", share: float = 1.0) -> Bank:
    """The bank that was made at `path`, of songs of SONG_SECONDS.

    Raises ValueError where the file's length is not a whole number of songs.
    """
    listing = path.with_suffix(".json")
    parts = tuple(json.loads(listing.read_text())) if listing.exists() else STEMS
    song = len(parts) * 2 * round(SONG_SECONDS * SR)
    count, over = divmod(path.stat().st_size, 2 * song)
    if over or not count:
        raise ValueError(f"{path}: not whole songs of {', '.join(parts)}")
    shape = (count, len(parts), 2, round(SONG_SECONDS * SR))
    bank = np.memmap(path, np.float16, "r+", shape=shape)
    return Bank(torch.from_numpy(bank).to(device), parts, share)


def open_bank(
    path: Path, songs: int, seconds: float, first_seed: int, workers: int, played: bool = False
) -> torch.Tensor:
    """The bank at `path`, made if it is not there: songs first_seed … first_seed + songs - 1.

    played: parts of the songs are played by the SoundFonts and speech synthesisers of this
    machine. An interrupted making goes on where it was.
    """
    shape = (songs, len(STEMS), 2, round(seconds * SR))
    if not path.exists():
        part, marks = path.with_suffix(".part"), path.with_suffix(".done")
        if not part.exists():
            np.memmap(part, np.float16, "w+", shape=shape).flush()
        done = set(map(int, marks.read_text().split())) if marks.exists() else set()
        rows = [row for row in range(songs) if row not in done]
        write = partial(write_song, part, shape, first_seed, played)
        with ProcessPoolExecutor(workers, get_context("spawn"), os.nice, (5,)) as pool, \
                marks.open("a") as log:  # fmt: skip
            for row in tqdm(pool.map(write, rows), initial=len(done), total=songs, desc="songs"):
                print(row, file=log, flush=True)
        part.rename(path)
        marks.unlink()
    bank = np.memmap(path, np.float16, "r+", shape=shape)
    return torch.from_numpy(bank)


def write_song(part: Path, shape: tuple[int, ...], first_seed: int, played: bool, row: int) -> int:
    """Synthesise one song into its row of the bank; returns the row."""
    orchestra = training_orchestra() if played else None
    seconds = shape[-1] / SR
    stems = synthesise(first_seed + row, seconds, SR, orchestra)
    bank = np.memmap(part, np.float16, "r+", shape=shape)
    bank[row] = np.stack(list(stems.values()))
    bank.flush()
    return row
