"""What a scrape of `/metrics` costs, by the length of the queue; what counting a request costs.

`python -m loadtests.metrics_bench` prints both. The registry is the server's own, over a database
of its own, with a series for every route and with as many jobs in the queue as each row says.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from server.jobs.plan import PIPELINE
from server.metrics import Metrics
from server.work.workers import Workers
from store import Database, HappeningRepository, JobRepository, NewJob

QUEUES = (0, 1000, 10_000)
SCRAPES = 100
REQUESTS = 200_000
ROUTES = 40  # more than the two APIs have
ENDED = 20  # jobs that ended since the last scrape
SEATS = [("separation", "separation-0"), *(("audio", f"audio-{number}") for number in range(16))]
BATCH = 500


async def queued(jobs: JobRepository, count: int) -> None:
    """Stores so many jobs that wait."""
    for start in tqdm(range(0, count, BATCH), desc="jobs", unit=f" x {BATCH}", disable=not count):
        await asyncio.gather(*(
            jobs.create(NewJob(
                id=f"{count}-{number}", api="pipeline", options='{"model": "starter"}',
                plan=PIPELINE, created_at=time.time(),
            ))
            for number in range(start, min(count, start + BATCH))
        ))  # fmt: skip


def fill(metrics: Metrics) -> None:
    """A series for every route that there could be."""
    for number in range(ROUTES):
        for status in (200, 404, 503):
            metrics.answered(f"/route/{number}", "GET", status, 0.01, 0, 1000)


async def scrapes(folder: Path, queue: int) -> tuple[list[float], list[float], int]:
    """Milliseconds of each scrape, by the clock and of this process's cores; and its bytes."""
    async with Database(folder / f"{queue}.db") as database:
        jobs, happenings = JobRepository(database), HappeningRepository(database)
        await queued(jobs, queue)
        await happenings.begin()
        metrics = Metrics(happenings, Workers(60), SEATS, {"data": folder})
        fill(metrics)
        walls, busy, size = [], [], 0
        for number in range(SCRAPES):
            for ended in range(ENDED):
                await jobs.create(NewJob(
                    id=f"ended-{number}-{ended}", api="pipeline", options="{}", plan=PIPELINE,
                    created_at=time.time(),
                ))  # fmt: skip
                await jobs.cancel(f"ended-{number}-{ended}", "no", time.time())
            began, spent = time.perf_counter(), time.process_time()
            size = len((await metrics.scrape(""))[0])
            walls.append(1000 * (time.perf_counter() - began))
            busy.append(1000 * (time.process_time() - spent))
        return walls, busy, size


def counting(folder: Path) -> float:
    """Microseconds of counting one request."""
    metrics = Metrics(HappeningRepository(Database(folder / "none.db")), Workers(60), [], {})
    fill(metrics)
    began = time.perf_counter()
    for number in range(REQUESTS):
        metrics.answered(f"/route/{number % ROUTES}", "GET", 200, 0.01, 0, 1000)
    return 1e6 * (time.perf_counter() - began) / REQUESTS


def main() -> None:
    """Prints a line for each length of the queue, and one for requests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'queue':>7} {'median ms':>10} {'slowest ms':>11} {'CPU ms':>7} {'kB':>6}")
        for queue in QUEUES:
            walls, busy, size = asyncio.run(scrapes(folder, queue))
            print(f"{queue:>7} {statistics.median(walls):>10.1f} {max(walls):>11.1f} "
                  f"{statistics.median(busy):>7.1f} {size / 1000:>6.0f}")  # fmt: skip
        print(f"counting a request: {counting(folder):.1f} µs")


if __name__ == "__main__":
    main()
