"""Owns the form in which banks travel: what `pack` writes, read again.

A packed bank is a folder of Ogg Opus files, one for each part of a few songs at a time, a
fiftieth of the bank's size; beside them `parts.json`, the parts' names. Opus knows 48 kHz, not
44.1 kHz: samples are handed to it as they are, an eleventh faster, and come back so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

from server.starter.training.bank import SONG_SECONDS, SR, Bank

GROUP = 8  # songs of a file
SAMPLES = round(SONG_SECONDS * SR)


def listing(folder: Path) -> Path:
    """Where a packed bank's parts are named."""
    return folder / "parts.json"


def part_file(folder: Path, group: int, part: str) -> Path:
    """Where a group's part lies."""
    return folder / f"{group:04d}.{part}.opus"


def parts_of(folder: Path) -> tuple[str, ...]:
    """What a packed bank's songs consist of."""
    return tuple(json.loads(listing(folder).read_text()))


def groups_of(folder: Path) -> Iterator[int]:
    """The groups of a packed bank that are there with all their parts."""
    parts = parts_of(folder)
    for first in sorted(folder.glob(f"*.{parts[0]}.opus")):
        group = int(first.name.partition(".")[0])
        if all(part_file(folder, group, part).exists() for part in parts):
            yield group


def unpack(folder: Path, group: int) -> Bank:
    """The songs of one group: float16 (songs, parts, 2, samples). Raises OSError, RuntimeError."""
    parts = parts_of(folder)
    made = [read_opus(part_file(folder, group, part)) for part in parts]
    return Bank(torch.from_numpy(np.stack(made, 1)), parts)


def read_opus(path: Path) -> np.ndarray:
    """(songs, 2, samples) float16."""
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    songs = round(len(samples) / SAMPLES)
    whole = np.zeros((songs * SAMPLES, 2), np.float16)
    whole[: len(samples)] = samples[: len(whole)]
    return whole.reshape(songs, SAMPLES, 2).transpose(0, 2, 1)
