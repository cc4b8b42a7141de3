"""Orders of the StemSplit API on a real database, and sources that answer as a test says."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from server.config import load
from server.errors import AudioError
from server.jobs.accounts import Accounts
from server.jobs.idempotency import Idempotency
from server.jobs.orders import Created, Order, Request
from server.jobs.sources import downloads
from server.jobs.sources.fetching import Fetcher
from server.jobs.sources.intake import Intake
from server.jobs.sources.uploads import Uploads
from server.jobs.stemsplit_jobs import StemSplitJobs
from server.sound import SAMPLE_RATE
from server.work.workers import Workers
from store import (
    AccountRepository,
    CreditRepository,
    Database,
    Entry,
    Job,
    JobRepository,
    UploadRepository,
)
from tests.net.places import Behave, Call, Server, guarded, ok, serving

SECONDS = 57
SONG = bytes(range(256)) * 20_000  # 5 MB: more than sockets hold
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nsong"


class Dispatcher:
    """Nobody works on the jobs here."""

    boot = "boot"

    def wake(self) -> None: ...

    async def cancel(self, job_id: str) -> None: ...


class World:
    """The StemSplit jobs room over a real database and real downloads from loopback."""

    def __init__(self, root: Path, db: Database, account: str, server: Server) -> None:
        flags = {
            "server.data_dir": str(root),
            "server.min_free_percent": 0,
            "fetch.total_timeout_s": 60.0,
        }
        config = load(environ={}, flags=flags)
        self.jobs, self.account, self.server = JobRepository(db), account, server
        self.credits = CreditRepository(db)
        self.intake = Intake(config, self.jobs, Workers(stall_seconds=60))
        self.intake.look = self._look  # type: ignore[method-assign]
        self.folders = self.intake.folders
        self.folders.create()
        self.uploads = Uploads(UploadRepository(db), self.folders, self.intake.rooms)
        self.fetcher = Fetcher(config, self.jobs.stages, self.intake, guarded(), "boot")
        accounts = Accounts(AccountRepository(db), self.credits)
        self.split = StemSplitJobs(
            config, self.jobs, self.intake, accounts, self.uploads, self.fetcher, Dispatcher()
        )  # type: ignore[arg-type]
        self.looked: list[tuple[bytes, str]] = []
        self.broken = False

    async def _look(self, job_id: str, folder: Path, options: Any, stage: str) -> dict[str, Any]:
        self.looked.append(((folder / "input").read_bytes(), options.file_name))
        if self.broken:
            raise AudioError("no sound")
        return {"frames": SECONDS * SAMPLE_RATE}

    async def grant(self, seconds: int) -> None:
        await self.credits.add(Entry(self.account, "grant", seconds, 1.0))

    async def create(self, once: Idempotency | None = None, **fields: Any) -> dict[str, Any]:
        if "upload_key" not in fields:
            fields = {"source_url": f"{self.server.url}/song.wav"} | fields
        answer = await self.split.create(self.order(**fields), render, once)
        return json.loads(answer)

    def order(self, **fields: Any) -> Order:
        defaults = {
            "account_id": self.account,
            "base_url": "http://x",
            "output_type": "BOTH",
            "quality": "FAST",
            "output_format": "MP3",
        }
        return Order(**defaults | fields)

    async def job(self, job_id: str) -> Job:
        job = await self.jobs.get(job_id)
        assert job is not None
        return job

    async def request(self, job_id: str) -> Request:
        return msgspec.json.decode((await self.job(job_id)).request, type=Request)

    async def until(self, what: Callable[[], Awaitable[Any]]) -> None:
        async with asyncio.timeout(60):
            while not await what():
                await asyncio.sleep(0.01)

    async def settled(self, job_id: str) -> Request:
        """The job once its source has been dealt with."""

        async def over() -> bool:
            job = await self.job(job_id)
            return job.state == "failed" or json.loads(job.request)["seconds"] > 0

        await self.until(over)
        return await self.request(job_id)

    def left(self) -> list[str]:
        """What lies in the spool and in the scratch folder."""
        return [
            str(path.relative_to(self.folders.data_dir))
            for folder in (self.folders.spool, self.folders.scratch)
            for path in folder.rglob("*")
            if path.is_file()
        ]


def render(new: Created) -> bytes:
    return json.dumps(
        {
            "id": new.id,
            "name": new.request.file_name,
            "credits": new.credits,
            "seconds": new.request.seconds,
        }
    ).encode()


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(
        test: Callable[[World], Awaitable[None]],
        behave: Behave,
        now_s: float = 30.0,
        told: str = "",  # the one event that may come with an exception
    ) -> None:
        monkeypatch.setattr(downloads, "NOW_SECONDS", now_s)

        async def main() -> None:
            async with Database(tmp_path / "t.db") as db, serving(behave) as server:
                account = await AccountRepository(db).ensure("ann", 1.0)
                world = World(tmp_path / "data", db, account, server)
                loop = asyncio.create_task(world.fetcher.run())
                try:
                    await test(world)
                finally:
                    loop.cancel()
                    await asyncio.gather(loop, return_exceptions=True)
                assert world.fetcher._sources._downloads == {}

        with structlog.testing.capture_logs() as lines:
            asyncio.run(main())
        defects = [line for line in lines if line.get("exc_info") and line["event"] != told]
        assert not defects, defects

    return run


def plain(head: str = "") -> Behave:
    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(SONG, head))

    return behave


def slowly(go: asyncio.Event, head: str = "", end: bytes = SONG[1000:]) -> Behave:
    """The head and some bytes at once, the rest later."""

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(SONG, head)[: -len(SONG) + 1000])
        await writer.drain()
        await go.wait()
        writer.write(end)

    return behave


async def upload(world: World) -> str:
    ticket = await world.uploads.ticket(world.account, "mine.mp3")
    async with world.uploads.arriving(ticket.key, len(SONG)) as part:
        part.write_bytes(SONG)
        await world.uploads.receive(ticket.key, part, len(SONG), "digest")
    return ticket.key


async def is_true(value: bool) -> bool:
    return value
