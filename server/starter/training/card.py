"""Trains the starter's networks on a CUDA card that is at hand for minutes:
python -m server.starter.training.card --out DIR --minutes 6.

Owns how the machine is shared out: the card learns while the cores unpack songs that were brought
and make new ones. Whatever is laid into the folder of `--packed` while it runs is taken too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

import numpy as np
import torch

from server.engine.weights import load_safetensors
from server.starter.songs import STEMS, synthesise
from server.starter.training.bank import SONG_SECONDS, SR, Bank
from server.starter.training.packed import groups_of, listing, unpack
from server.starter.training.shelf import Room, Shelf, put
from server.starter.training.sizes import build_model
from server.starter.training.train import (
    VALIDATION_SEED,
    WEIGHTS,
    Run,
    Trainer,
    interruptible,
    train,
)

FIRST_SEED = 100_000  # of the songs that are made beside the training
DECAY = 0.3  # of the time
ROOMS = {
    STEMS: Room(1800, 1.0), ("instrumental",): Room(1900, 0.5), ("vocals",): Room(510, 0.15),
    ("guitar", "backing"): Room(16, 0.05),
}  # fmt: skip


def make_song(shelf: Path, seed: int) -> None:
    """Compose one song and put it on the shelf."""
    stems = np.stack(list(synthesise(seed, SONG_SECONDS, SR).values()))
    put(shelf, f"made-{seed}", Bank(torch.from_numpy(stems[None].astype(np.float16))))


def unpack_group(shelf: Path, folder: Path, group: int) -> None:
    """Put one group of a packed bank on the shelf."""
    put(shelf, f"{folder.name}-{group:04d}", unpack(folder, group))


class Feeder(Thread):
    """Fills a shelf by all cores, until it is stopped: first what was brought, then new songs."""

    def __init__(self, shelf: Path, packed: Path, workers: int, songs: int) -> None:
        super().__init__(daemon=True)
        self.shelf, self.packed = shelf, packed
        self.workers, self.songs = workers, songs
        self.stopped = Event()

    def run(self) -> None:
        """Hand out one task after another."""
        seeds, known = iter(range(FIRST_SEED, FIRST_SEED + self.songs)), set[tuple[Path, int]]()
        waiting: set[Future[None]] = set()
        with ProcessPoolExecutor(self.workers, get_context("spawn"), os.nice, (5,)) as pool:
            while not self.stopped.wait(0.1):
                waiting = {future for future in waiting if not told(future)}
                for folder, group in self.brought():
                    if (folder, group) not in known:
                        known.add((folder, group))
                        waiting.add(pool.submit(unpack_group, self.shelf, folder, group))
                while len(waiting) < 2 * self.workers and (seed := next(seeds, None)) is not None:
                    waiting.add(pool.submit(make_song, self.shelf, seed))
            pool.shutdown(wait=False, cancel_futures=True)

    def brought(self) -> Iterator[tuple[Path, int]]:
        """All groups of the packed banks that are there by now."""
        for folder in sorted(path for path in self.packed.glob("*") if listing(path).exists()):
            yield from ((folder, group) for group in groups_of(folder))


def told(future: Future[None]) -> bool:
    """Whether a task is done; says what failed."""
    if future.done() and (error := future.exception()):
        print(f"not made: {error!r}", flush=True)
    return future.done()


def check_bank(songs: int) -> Bank:
    """A few songs of validation."""
    made = [np.stack(list(synthesise(VALIDATION_SEED + n, SONG_SECONDS, SR).values()))
            for n in range(songs)]  # fmt: skip
    return Bank(torch.from_numpy(np.stack(made).astype(np.float16)))


def trainers(args: argparse.Namespace) -> list[Trainer]:
    """Both networks: the one that shares out six stems, from its weights, and a fresh one whose
    vocals count for more."""
    made = []
    singing = {"vocals": 3.0, "instrumental": 3.0}
    for name, size, emphasis in (("masks", "small", {}), ("voice", "wide", singing)):
        model = build_model(size)
        start = WEIGHTS / f"{name}.safetensors"
        if start.exists() and not args.fresh:
            model.load_state_dict(load_safetensors(start).state_dict())
        run = Run(args.batch, args.rate, emphasis=emphasis, warmup=200)
        made.append(Trainer(name, model.to(args.device), run, args.out / name))
    return made


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.training.card",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and state")
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument("--packed", type=Path, default=Path("packed"),
                        help="folder of packed banks")  # fmt: skip
    parser.add_argument("--songs", type=int, default=1200, help="to make beside the training")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--room", type=float, default=1.0, help="of the songs kept at hand")
    parser.add_argument("--check", type=int, default=8, help="songs to validate on")
    parser.add_argument("--fresh", action="store_true", help="begin without the present weights")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between checks")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    """The command."""
    args = options()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    with tempfile.TemporaryDirectory() as folder, interruptible() as stopped:
        shelf = Path(folder)
        feeder = Feeder(shelf, args.packed, args.workers, args.songs)
        feeder.start()
        rooms = {parts: Room(max(1, int(args.room * room.songs)), room.share)
                 for parts, room in ROOMS.items()}  # fmt: skip
        growing = Shelf(shelf, rooms, args.device)
        learning = trainers(args)
        for trainer in learning:
            trainer.out.mkdir(parents=True, exist_ok=True)
        check = check_bank(args.check)
        while not (growing.banks() and growing.filled[STEMS]) and not stopped():
            time.sleep(0.2)  # for what any mix can be made of
        decay = 60.0 * args.minutes * DECAY
        train(learning, growing.banks, check, 60.0 * args.minutes - decay, args.every, stopped)
        for trainer in learning:
            trainer.run.decay = decay
        train(learning, growing.banks, check, decay, args.every, stopped)
        print({"+".join(parts): count for parts, count in growing.filled.items()}, flush=True)
        feeder.stopped.set()
        feeder.join()


if __name__ == "__main__":
    main()
