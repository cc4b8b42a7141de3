"""Posts the jobs of a simulation, when they come in it, to a server of its own."""

import sqlite3
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import psutil
from tqdm import tqdm

from loadtests.capacity.simulation import Arrival, Outcome
from loadtests.traffic import songs
from loadtests.traffic.own_server import own_server

PATIENCE_S = 1800.0


def post_all(arrivals: Sequence[Arrival]) -> tuple[list[Outcome], float]:
    """What became of each, in the same order, and how many cores the server's processes had while
    there was work. Raises RuntimeError where a job failed."""
    lengths = sorted({arrival.seconds for arrival in arrivals})
    made = dict(zip(lengths, songs.make(songs.cache_folder(), lengths), strict=True))
    with tempfile.TemporaryDirectory() as name, own_server(Path(name) / "data", {}) as server:
        spent = _core_seconds(server.pid)
        with httpx.Client(base_url=server.url, timeout=60) as http:
            ids, began = [], time.monotonic()
            for arrival in tqdm(arrivals, desc="jobs", unit="job"):
                time.sleep(max(0.0, began + arrival.at - time.monotonic()))
                file = {"file": ("song.flac", made[arrival.seconds].read())}
                ids.append(http.post("/process", files=file).raise_for_status().json()["job_id"])
            _await(http, ids)
        spent = _core_seconds(server.pid) - spent
        rows = _rows(Path(name) / "data" / "stembox.db", ids)
    outcomes = [Outcome(began - posted, ended - posted) for posted, began, ended in rows]
    return outcomes, spent / busy_seconds([(posted, ended) for posted, _, ended in rows])


def busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of them lasted."""
    total, until = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def _core_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


def _await(http: httpx.Client, ids: Sequence[str]) -> None:
    until = time.monotonic() + PATIENCE_S
    for job in tqdm(ids, desc="done", unit="job"):
        while (status := http.get(f"/job/{job}").json()["status"]) == "processing":
            if time.monotonic() > until:
                raise RuntimeError(f"the job {job} does not end")
            time.sleep(0.5)
        if status != "completed":
            raise RuntimeError(f"the job {job} is {status}")


def _rows(database: Path, ids: Sequence[str]) -> list[tuple[float, float, float]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = {row[0]: row[1:] for row in db.execute(
            "SELECT id, created_at, started_at, completed_at FROM jobs")}  # fmt: skip
    return [rows[job] for job in ids]
