"""Owns how a bank is filled: rows of float16 on disk, by several processes, going on where it was.

Knows files and processes; nothing of what the rows hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

Task = TypeVar("Task")
NICENESS = 5


def fill(
    path: Path,
    shape: tuple[int, ...],
    tasks: Sequence[Task],
    write: Callable[[np.ndarray, Task], None],
    workers: int,
    name: str = "songs",
) -> torch.Tensor:
    """The bank of `shape` at `path`, float16 in memory-mapped float16; made if it is not there.

    write: called once for each task, in any order and any process, with the whole bank (float16,
    `shape`) to write its rows. An interrupted making goes on with the tasks that are left, of as
    many as there are now.
    """
    if not path.exists():
        part, marks = path.with_suffix(".part"), path.with_suffix(".done")
        with part.open("ab") as bank:  # longer or shorter than it was, or new
            bank.truncate(int(np.prod(shape)) * np.dtype(np.float16).itemsize)
        done = set(map(int, marks.read_text().split())) if marks.exists() else set()
        left = [number for number in range(len(tasks)) if number not in done]
        work = partial(write_task, part, shape, write)
        with ProcessPoolExecutor(workers, get_context("spawn"), os.nice, (NICENESS,)) as pool, \
                marks.open("a") as log:  # fmt: skip
            made = pool.map(work, left, [tasks[number] for number in left])
            for number in tqdm(made, initial=len(done), total=len(tasks), desc=name):
                print(number, file=log, flush=True)
        part.rename(path)
        marks.unlink(missing_ok=True)
    return mapped(path, shape[1:])


def write_task(
    part: Path,
    shape: tuple[int, ...],
    write: Callable[[np.ndarray, Task], None],
    number: int,
    task: Task,
) -> int:
    """Do one task on the bank at `part`; returns its number."""
    bank = np.memmap(part, np.float16, "r+", shape=shape)
    write(bank, task)
    bank.flush()
    return number


def mapped(path: Path, row: tuple[int, ...]) -> torch.Tensor:
    """The bank at `path`, whose rows have the shape `row`: (rows, *row), mapped from the disk."""
    size = int(np.prod(row)) * np.dtype(np.float16).itemsize
    rows, rest = divmod(path.stat().st_size, size)
    if rest or not rows:
        raise ValueError(f"{path} holds no rows of shape {row}")
    return torch.from_numpy(np.memmap(path, np.float16, "r+", shape=(rows, *row)))
