"""Owns the training material: songs made once, kept on disk, and drawn from at random.

The file is float16 of shape (songs, stems, 2, samples), memory-mapped. No torch here.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from server.starter.songs import STEMS, synthesise

SR = 44100


def open_bank(path: Path, songs: int, seconds: float, first_seed: int, workers: int) -> np.ndarray:
    """The bank at `path`, made if it is not there: songs first_seed … first_seed + songs - 1."""
    shape = (songs, len(STEMS), 2, round(seconds * SR))
    if not path.exists():
        part = path.with_suffix(".part")
        np.memmap(part, np.float16, "w+", shape=shape).flush()
        jobs = [(part, shape, index, first_seed + index, seconds) for index in range(songs)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(tqdm(pool.map(write_song, jobs, chunksize=4), total=songs, desc="songs"))
        part.rename(path)
    return np.memmap(path, np.float16, "r", shape=shape)


def write_song(job: tuple[Path, tuple[int, ...], int, int, float]) -> None:
    """Synthesise one song into its row of the bank; job = (file, shape, row, seed, seconds)."""
    path, shape, row, seed, seconds = job
    bank = np.memmap(path, np.float16, "r+", shape=shape)
    bank[row] = np.stack(list(synthesise(seed, seconds, SR).values()))
    bank.flush()


def draw_batch(bank: np.ndarray, rng: np.random.Generator, size: int, samples: int) -> np.ndarray:
    """Training examples: stems (size, 4, 2, samples) float32, whose sum is the mix.

    Half of the examples take each stem from a song of its own, as in Demucs' remixing
    (Défossez et al., 2019); every stem gets a random gain, sides and polarity.
    """
    batch = np.empty((size, *bank.shape[1:3], samples), dtype=np.float32)
    for example in batch:
        remixed = rng.random() < 0.5
        song, start = draw_place(bank, rng, samples)
        for stem in range(len(example)):
            if remixed:
                song, start = draw_place(bank, rng, samples)
            example[stem] = bank[song, stem, :, start : start + samples]
            example[stem] *= rng.choice((-1.0, 1.0)) * 10.0 ** (rng.uniform(-10.0, 2.0) / 20.0)
            if rng.random() < 0.5:
                example[stem] = example[stem, ::-1].copy()
    return batch


def draw_place(bank: np.ndarray, rng: np.random.Generator, samples: int) -> tuple[int, int]:
    """A random song and a random start within it."""
    return int(rng.integers(len(bank))), int(rng.integers(bank.shape[3] - samples + 1))
