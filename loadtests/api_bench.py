"""Requests a second of `GET /jobs/{id}`, key and rate limit on: ours beside a plain service.

Both run in a process of their own under uvicorn, are asked over the same kept-alive connections,
and take turns.
"""

import asyncio
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from loadtests.compare import Row

CONNECTIONS = 16
SECONDS = 4.0  # of one round
ROUNDS = 3
KEY_FILE = "key"


def run() -> list[Row]:
    """The row `get_job_requests`: seconds of one request, and requests a second."""
    with tempfile.TemporaryDirectory() as folder:
        sides = [_start(serve, Path(folder) / name) for serve, name in (
            (serve_ours, "ours"), (serve_theirs, "theirs"))]  # fmt: skip
        try:
            rates: tuple[list[float], list[float]] = ([], [])
            for port, key, job in (side[1:] for side in sides):
                asyncio.run(requests_a_second(port, key, job, 1.0))
            for _ in range(ROUNDS):
                for (_, port, key, job), found in zip(sides, rates, strict=True):
                    found.append(asyncio.run(requests_a_second(port, key, job, SECONDS)))
        finally:
            for process, *_ in sides:
                process.kill()
    ours, theirs = (statistics.median(found) for found in rates)
    return [{"name": "get_job_requests", "ours_s": round(1 / ours, 6),
             "theirs_s": round(1 / theirs, 6), "ratio": round(ours / theirs, 2),
             "ours_per_second": round(ours), "theirs_per_second": round(theirs)}]  # fmt: skip


async def requests_a_second(port: int, key: str, job: str, seconds: float) -> float:
    """Answered requests a second over CONNECTIONS connections. Raises on any other answer."""
    request = (f"GET /api/v1/jobs/{job} HTTP/1.1\r\nHost: localhost:{port}\r\n"
               f"Authorization: Bearer {key}\r\n\r\n").encode()  # fmt: skip
    until = time.perf_counter() + seconds

    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            count += 1
        writer.close()
        return count

    began = time.perf_counter()
    counts = await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - began)


def _start(
    serve: Callable[[Path, int], None], folder: Path
) -> tuple[multiprocessing.process.BaseProcess, int, str, str]:
    """A serving process; its port, a key and a job."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(folder, port), daemon=True
    )
    process.start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                key, job = (folder / KEY_FILE).read_text().split()
                return process, port, key, job
        time.sleep(0.1)
    raise RuntimeError(f"{serve.__name__} did not start")


def _uvicorn(app: Any, port: int, **more: Any) -> None:
    import os
    import sys

    import uvicorn

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # both write an access log
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    uvicorn.run(app, port=port, loop="uvloop", **more)


def serve_ours(folder: Path, port: int) -> None:
    """Our API process without its workers, with one finished job."""
    from server.api.protocol import BoundedProtocol
    from server.app import Application
    from server.config import load
    from server.jobs.folders import Folders
    from server.work.board import Board

    config = load(environ={}, flags={
        "server.data_dir": str(folder), "server.port": port,
        "limits.requests_per_minute": 10**9, "log.format": "json"})  # fmt: skip
    Folders(folder).create()
    asyncio.run(_fill(folder))
    _uvicorn(Application(config, (), Board({})), port, http=BoundedProtocol,
             access_log=False, lifespan="on")  # fmt: skip


async def _fill(folder: Path) -> None:
    from server.jobs import keys
    from server.jobs.orders import Request
    from store import AccountRepository, Database, JobRepository, NewJob, StagePlan, Track
    from store.accounts import NewKey

    now, key = time.time(), keys.new_key()
    request = Request(output_type="FOUR_STEMS", quality="BEST", output_format="MP3",
                      model="starter", file_name="a.mp3", seconds=180.0, size_bytes=1)  # fmt: skip
    async with Database(folder / "stembox.db") as database:
        accounts, jobs = AccountRepository(database), JobRepository(database)
        account = await accounts.create_key(
            NewKey("ann", keys.hash_of(key), keys.shown(key), 0, None, now)
        )
        await jobs.create(NewJob(
            id="job", api="stemsplit", options="{}", plan=(StagePlan("encode", "audio"),),
            created_at=now, request=msgspec.json.encode(request).decode(), account_id=account,
        ))  # fmt: skip
        claim = await jobs.stages.claim("audio", "bench/1", now)
        assert claim is not None
        tracks = {name: Track(f"{name}.mp3") for name in ("vocals", "drums", "bass", "other")}
        await jobs.stages.finish(claim.stage, {}, tracks, now)
    (folder / KEY_FILE).write_text(f"{key} job")


def serve_theirs(folder: Path, port: int) -> None:
    """The plain service."""
    from loadtests.plain_service import create_app

    (folder / KEY_FILE).write_text("key job")
    _uvicorn(create_app(str(folder / "plain.db")), port)


