"""Owns the training material: songs made once, kept on disk, and drawn from at random.

The file is float16 of shape (songs, stems, 2, samples). Examples are mixed where the bank lies,
so a bank that was moved to a card is mixed there.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate
from tqdm import tqdm

from server.starter.played.orchestra import training_orchestra
from server.starter.songs import STEMS, synthesise

SR = 44100


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


def draw_batch(
    bank: torch.Tensor, rng: np.random.Generator, size: int, samples: int
) -> torch.Tensor:
    """Training examples: stems (size, stems, 2, samples) float32, whose sum is the mix.

    Two thirds of the examples take each stem from a song and a speed of its own, as in Demucs'
    remixing (Défossez et al., 2019); every stem gets a random gain, sides and polarity.
    """
    batch = torch.empty((size, *bank.shape[1:3], samples), device=bank.device)
    for example in batch:
        remixed = rng.random() < 0.67
        song, start = draw_place(bank, rng, samples)
        for stem in range(len(example)):
            if remixed:
                example[stem] = draw_excerpt(bank[:, stem], rng, samples)
            else:
                example[stem] = bank[song, stem, :, start : start + samples]
            example[stem] *= float(rng.choice((-1.0, 1.0)) * 10.0 ** (rng.uniform(-10, 2) / 20.0))
            if rng.random() < 0.5:
                example[stem] = example[stem].flip(0)
    return batch


def draw_excerpt(stem: torch.Tensor, rng: np.random.Generator, samples: int) -> torch.Tensor:
    """(2, samples) float32 of one stem of the bank (songs, 2, length), half of them retuned.

    Playing up to 15 % faster or slower moves formants and pitches: more singers, more drums.
    """
    taken = samples if rng.random() < 0.5 else int(samples * rng.uniform(0.87, 1.15))
    taken = min(taken, stem.shape[-1])
    song, start = draw_place(stem, rng, taken)
    excerpt = stem[song, :, start : start + taken].float()
    if taken == samples:
        return excerpt
    return interpolate(excerpt[None], size=samples, mode="linear", align_corners=False)[0]


def draw_place(bank: torch.Tensor, rng: np.random.Generator, samples: int) -> tuple[int, int]:
    """A random song and a random start within it."""
    return int(rng.integers(len(bank))), int(rng.integers(bank.shape[-1] - samples + 1))
