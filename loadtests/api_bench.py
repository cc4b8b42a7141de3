"""Requests a second of `GET /jobs/{id}` and `/health`: ours, with key, limit, figures and access
log, beside a plain service with key and limit, and one with neither.

Both run in a process of their own under uvicorn, are asked over the same kept-alive connections,
and take turns. Counted are answers for each second that a process had a core: others on the machine
change that little. `python -m loadtests.api_bench` prints the rows; `--profile FILE` writes where
our process spends its time meanwhile (cProfile's format).
"""

import argparse
import asyncio
import cProfile
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvicorn
import uvloop

from loadtests.compare import Row
from loadtests.hammer import answered
from server.work.board import pool_of
from server.work.channel import Channel
from server.work.messages import Hello
from server.work.workers import POOLS

SECONDS = 4.0  # of one round
ROUNDS = 3
START_SECONDS = 120
KEY_FILE = "key"
WORKERS = tuple(f"{pool}-0" for pool in POOLS)
SONG = 180  # seconds
JOB = "/api/v1/jobs/job"
# name, our path, theirs
RACES = (
    ("get_job_requests", JOB, JOB),
    ("get_job_beside_open", JOB, "/open/jobs/job"),
    ("health_requests", "/health", "/health"),
)


class Side(NamedTuple):
    """A serving process, its port, a key and its folder."""

    process: multiprocessing.process.BaseProcess
    port: int
    key: str
    folder: Path

    def healthy(self) -> bool:
        """Whether it would answer `/health` well."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10):
                return True
        except OSError:
            return False

    def ask(self, path: str, seconds: float) -> float:
        """Answers for each second of a core."""
        assert self.process.pid is not None
        before = core_seconds(self.process.pid)
        answers = uvloop.run(answered(self.port, path, self.key, seconds))
        return answers / (core_seconds(self.process.pid) - before)


def run() -> list[Row]:
    """A row for each of RACES: core-seconds of one request, and requests a core-second."""
    with _started(serve_ours) as ours, _started(serve_theirs) as theirs:
        return [_race(ours, theirs, *race) for race in RACES]


def _race(ours: Side, theirs: Side, name: str, our_path: str, their_path: str) -> Row:
    sides = ((ours, our_path), (theirs, their_path))
    for side, path in sides:
        side.ask(path, 1.0)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for (side, path), found in zip(sides, rates, strict=True):
            found.append(side.ask(path, SECONDS))
    mine, other = (statistics.median(found) for found in rates)
    return {"name": name, "ours_s": round(1 / mine, 6), "theirs_s": round(1 / other, 6),
            "ratio": round(mine / other, 2),
            "ours_per_second": round(mine), "theirs_per_second": round(other)}  # fmt: skip


@contextmanager
def started() -> Iterator[Side]:
    """Our API process with one finished job, whose files are still to be written."""
    with _started(serve_ours) as side:
        yield side


@contextmanager
def _started(serve: Callable[..., None], *more: Any) -> Iterator[Side]:
    """A process that serves, and workers that wait: without any, ours is not healthy."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        channels = [Channel(Path(name) / f"{worker}.sock") for worker in WORKERS]
        for channel in channels:
            channel.listen()
        side = _start(serve, Path(name), *more)
        for worker, channel in zip(WORKERS, channels, strict=True) if serve is serve_ours else ():
            channel.accept()
            channel.greet(Hello(worker=worker, pid=os.getpid(), pool=pool_of(worker), device="cpu",
                                slots=1))
            stack.callback(channel.close)
        until = time.monotonic() + START_SECONDS
        while not side.healthy():
            if time.monotonic() > until:
                raise RuntimeError(f"{serve.__name__} is not healthy")
            time.sleep(0.1)
        try:
            yield side
        finally:
            side.process.terminate()
            side.process.join()


def _start(serve: Callable[..., None], folder: Path, *more: Any) -> Side:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(folder, port, *more), daemon=True
    )
    process.start()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Side(process, port, (folder / KEY_FILE).read_text(), folder)
        time.sleep(0.1)
    raise RuntimeError(f"{serve.__name__} did not start")


def _uvicorn(app: Any, port: int, **more: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # both write an access log
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has closed
    uvicorn.run(app, port=port, loop="uvloop", **more)


def serve_ours(folder: Path, port: int, profile: str | None = None) -> None:
    """Our API process without its workers, with one finished job.

    profile: a file for what it did until SIGTERM.
    """
    from server.api.edge.protocol import BoundedProtocol
    from server.app import Application
    from server.config import load
    from server.jobs.disk.folders import Folders
    from server.work.board import Board

    config = load(environ={}, flags={
        "server.data_dir": str(folder), "server.port": port,
        "limits.requests_per_minute": 10**9, "log.format": "json",
        "server.min_free_percent": 0})  # fmt: skip
    Folders(folder).create()
    asyncio.run(_fill(folder))
    profiler = cProfile.Profile(time.thread_time)  # others on this machine count nothing
    if profile is not None:
        profiler.enable()
    places = [folder / f"{worker}.sock" for worker in WORKERS]
    _uvicorn(Application(config, places, Board({})), port, http=BoundedProtocol,
             access_log=False, proxy_headers=False, lifespan="on")  # fmt: skip
    if profile is not None:
        profiler.dump_stats(profile)


async def _fill(folder: Path) -> None:
    from server.jobs import keys
    from server.jobs.orders import Request
    from server.jobs.plan import split_plan
    from server.sound import SAMPLE_RATE
    from server.stems import OUTPUTS
    from server.work.messages import Options
    from store import AccountRepository, Database, JobRepository, NewJob, Track
    from store.accounts import NewKey

    now, key, stems = time.time(), keys.new_key(), OUTPUTS["FOUR_STEMS"]
    request = Request(output_type="FOUR_STEMS", quality="BEST", output_format="MP3",
                      model="starter", file_name="a.mp3", seconds=SONG, size_bytes=1)  # fmt: skip
    options = Options(file_name="a.mp3", model="starter", overlap=0.25, format="MP3",
                      wav_format="PCM_16", target_lufs=-14, true_peak_dbtp=-1, max_seconds=3600,
                      stems=stems)  # fmt: skip
    async with Database(folder / "stembox.db") as database:
        accounts, jobs = AccountRepository(database), JobRepository(database)
        account, _ = await accounts.create_key(
            NewKey("ann", keys.hash_of(key), keys.shown(key), 0, None, now)
        )
        await jobs.create(NewJob(
            id="job", api="stemsplit", options=msgspec.json.encode(options).decode(),
            plan=split_plan(stems, True), created_at=now,
            request=msgspec.json.encode(request).decode(), account_id=account,
        ))  # fmt: skip
        for pool in ("audio", "separation", *["audio"] * (len(stems) + 1)):
            claim = await jobs.stages.claim(pool, "bench/1", now)
            assert claim is not None
            stem = claim.stage.name.partition("/")[2]
            tracks = {stem: Track(f"{stem}.mp3", None, None)} if stem else {}
            facts = {"frames": SONG * SAMPLE_RATE} if claim.stage.name == "decode" else {}
            await jobs.stages.finish(claim.stage, facts, tracks, now)
    (folder / KEY_FILE).write_text(key)


def serve_theirs(folder: Path, port: int) -> None:
    """The plain service."""
    from loadtests.plain_service import create_app

    (folder / KEY_FILE).write_text("key")
    _uvicorn(create_app(str(folder / "plain.db")), port)


def core_seconds(pid: int) -> float:
    """What a process has had of the cores so far, all its threads together."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def profile(path: str, file: str) -> float:
    """Asks our process alone, which writes where its time went. Answers for each core-second."""
    with _started(serve_ours, file) as side:
        return side.ask(path, SECONDS)


def main(arguments: Iterable[str]) -> None:
    """Prints the rows, or profiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", metavar="FILE")
    parser.add_argument("--path", default=JOB, help="what is profiled")
    asked = parser.parse_args(list(arguments))
    if asked.profile:
        rate = profile(asked.path, asked.profile)
        print(f"{rate:.0f} a core-second, slowed down by the profiler")
        return
    for row in run():
        print(f"{row['name']:<20} {row['ours_per_second']:>7} {row['theirs_per_second']:>7} "
              f"{row['ratio']:>6}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
