"""`python -m loadtests.store [--finished N]`: each call on a database with a million finished jobs
beside the same on a nearly empty one, in turns. Needs 4 GB in the folder; removes what it wrote.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loadtests.store.filling import BEFORE_INDEXES, Sizes, fill
from loadtests.store.probes import Probe, opened
from store import Database
from store.migrations import available

SMALL = Sizes(finished=200, queued=20, deliveries=40, ledger=200)
FACTOR = 2.0  # how much slower the big one may be


def main() -> int:
    """Prints the table; 1 where a call is more than FACTOR times as slow, but for what
    counts the queue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where to write; default: the system's")
    asked = parser.parse_args()
    parts = asked.finished // 100
    big = Sizes(asked.finished, parts, 10 * parts, 100 * parts)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        places = [Path(name) / "small.db", Path(name) / "big.db"]
        for path, sizes in zip(places, (SMALL, big), strict=True):
            with tqdm(desc=path.stem, unit=" rows", unit_scale=True) as bar:
                fill(path, sizes, partial(step, bar))
        rows = asyncio.run(measure(places, (SMALL, big), asked.rounds))
        sizes_of(places[1])
    print(f"\n{'median of ' + str(asked.rounds):<28}{'empty, ms':>11}{'big, ms':>11}{'times':>7}")
    for probe, small_s, big_s in rows:
        print(f"{probe.name:<28}{1000 * small_s:>11.3f}{1000 * big_s:>11.3f}{big_s / small_s:>7.2f}"
              f"{'  of the queue' if probe.of_queue else ''}")  # fmt: skip
    return int(any(big_s > FACTOR * small_s
                   for probe, small_s, big_s in rows if not probe.of_queue))  # fmt: skip


def step(bar: "tqdm[Any]", table: str, rows: int) -> None:
    """Shows that a table is filled."""
    bar.set_postfix_str(table)
    bar.update(rows)


def sizes_of(path: Path) -> None:
    """Prints what the big database takes, and the part of it that each table has."""
    with closing(sqlite3.connect(path)) as db:
        page, pages, free = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
    print(f"\nfile {page * pages / 1e6:,.0f} MB, of it free {page * free / 1e6:,.0f} MB")


async def measure(
    paths: list[Path], sizes: tuple[Sizes, Sizes], rounds: int
) -> list[tuple[Probe, float, float]]:
    """(what, seconds on the small one, seconds on the big one), medians of calls in turns."""
    small_s, big_s = await openings(paths, min(rounds, 20))
    found = [(Probe("open the database", Database(paths[1]).__aenter__), small_s, big_s)]
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(*pair))
                  for pair in zip(paths, sizes, strict=True)]  # fmt: skip
        pairs = list(zip(*[await store.probes() for store in stores], strict=True))
        for pair in tqdm(pairs, desc="calls"):
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for probe, taken in zip(pair, times, strict=True):
                    taken.append(await probe.timed())
            found.append((pair[0], statistics.median(times[0]), statistics.median(times[1])))
    return found


async def openings(paths: list[Path], rounds: int) -> list[float]:
    """Seconds to open each, the median."""
    times: tuple[list[float], ...] = ([], [])
    for _ in range(rounds):
        for path, taken in zip(paths, times, strict=True):
            began = time.perf_counter()
            async with Database(path):
                taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    assert available()[-1][0] > BEFORE_INDEXES
    sys.exit(main())
