"""Owns banks that grow while they are learnt from: whoever makes or unpacks songs puts them on a
shelf, a folder of small files; a run takes them off it into the memory of its device.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from server.starter.store import write_whole
from server.starter.training.bank import SONG_SECONDS, SR, Bank

SAMPLES = round(SONG_SECONDS * SR)
PATIENCE = 1.0  # seconds between looks


class Room(NamedTuple):
    """How much of one kind of songs is taken at most, and how often it is drawn from."""

    songs: int
    share: float = 1.0


def put(folder: Path, name: str, bank: Bank) -> None:
    """Put songs on a shelf, under a name that nobody else uses."""
    path = folder / f"{name}.{'+'.join(bank.parts)}.f16"
    write_whole(path, lambda part: bank.songs.numpy().tofile(part))


class Shelf:
    """Banks by their parts, filled from a folder as its files come."""

    def __init__(
        self, folder: Path, rooms: Mapping[tuple[str, ...], Room], device: str = "cpu"
    ) -> None:
        self.folder, self.rooms = folder, rooms
        self.filled = dict.fromkeys(rooms, 0)
        self.songs = {
            parts: torch.empty((room.songs, len(parts), 2, SAMPLES), dtype=torch.float16,
                               device=device) for parts, room in rooms.items()}  # fmt: skip
        self.looked = -PATIENCE

    def banks(self) -> Sequence[Bank]:
        """What there is by now; those of no songs are left out."""
        if time.monotonic() - self.looked > PATIENCE:
            self.look()
            self.looked = time.monotonic()
        return [Bank(self.songs[parts][:count], parts, self.rooms[parts].share)
                for parts, count in self.filled.items() if count]  # fmt: skip

    def look(self) -> None:
        """Take the next few files: a run does not wait long for its next step."""
        for path in itertools.islice(sorted(self.folder.glob("[!.]*.f16")), 16):
            self.take(path)
            path.unlink()

    def take(self, path: Path) -> None:
        """Copy one file's songs, as far as there is room."""
        parts = tuple(path.name.split(".")[-2].split("+"))
        if parts not in self.rooms:
            return
        songs = np.fromfile(path, np.float16).reshape(-1, len(parts), 2, SAMPLES)
        start = self.filled[parts]
        end = min(start + len(songs), self.rooms[parts].songs)
        self.songs[parts][start:end] = torch.from_numpy(songs[: end - start]).to(
            self.songs[parts].device
        )
        self.filled[parts] = end
