"""Owns the training material on disk: songs made once, of which some parts are known.

A file is float16 of shape (songs, parts, 2, samples). A part is a stem or a sum of stems; beside
a file whose parts are not the six stems lies `<name>.json` with a list of their names.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from server.starter.played.repertoire import training_song
from server.starter.songs import STEMS, synthesise
from server.starter.training.filling import fill

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
    return fill(path, shape, range(songs), partial(write_song, first_seed, played), workers)


def write_song(first_seed: int, played: bool, bank: np.ndarray, row: int) -> None:
    """Synthesise one song into its row of the bank."""
    make = training_song if played else synthesise
    stems = make(first_seed + row, bank.shape[-1] / SR, SR)
    bank[row] = np.stack(list(stems.values()))
