"""A machine whose clocks a test moves, and a server's janitor and sender on it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from server.jobs.clock import Clock, Reading
from server.jobs.disk.folders import Folders
from server.jobs.janitor import Janitor, Retention
from server.jobs.sources.uploads import Uploads
from server.jobs.webhooks.sending import Sender
from store import (
    AccountRepository,
    ClockRepository,
    Database,
    JobRepository,
    Track,
    UploadRepository,
    WebhookRepository,
)
from tests.store.conftest import PLAN, new_job

HOUR = 3600.0
KEPT = 24.0  # hours
START = 1_000_000_000.0
ONE = PLAN[:1]


class Machine:
    """Two clocks, and a server that runs on them; `restart` is another process."""

    def __init__(self, root: Path) -> None:
        self.root, self.boot, self.wall, self.steady = root, "boot", START, 5000.0
        self.folders = Folders(root)
        self.folders.create()
        self.posts: list[str] = []
        self.status = 500

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    async def post(self, url: str, *_: object) -> object:
        self.posts.append(url)
        return type("Answer", (), {"status": self.status, "redirect": None})

    async def start(self, db: Database) -> None:
        self.clock = Clock(ClockRepository(db),
                           lambda: Reading(self.boot, self.wall, self.steady))
        self.jobs, hooks = JobRepository(db), WebhookRepository(db)
        self.tickets = UploadRepository(db)
        self.uploads = Uploads(self.tickets, self.folders, lambda: None)
        self.janitor = Janitor(self.jobs, self.folders, self.uploads, hooks,
                               Retention(3600 * KEPT, 90 * 86400.0, 7 * 86400.0), set, self.clock,
                               db.sizes, lambda job_id: asyncio.sleep(0))
        self.sender = Sender(hooks, self.jobs, self, lambda *_: b"{}", lambda _: "whsec_AAAA",
                             self.clock)
        self.hooks, self.account = hooks, await AccountRepository(db).ensure("ann", 1.0)

    async def minute(self) -> None:
        """What the janitor and the sender do once a minute."""
        await self.janitor.sweep(await self.clock.check())
        await self.sender._fill()
        await asyncio.gather(*self.sender._running.values())

    async def job(self, name: str, end: bool = True, callback: str | None = None) -> None:
        await self.jobs.create(new_job(name, self.wall, ONE, api="stemsplit", options="{}",
                                       account_id=self.account, callback_url=callback))
        (self.folders.outputs / name).mkdir()
        (self.folders.outputs / name / "vocals.mp3").write_bytes(b"song")
        if end:
            stage = (await self.jobs.stages.claim("audio", f"b/{name}", self.wall)).stage
            await self.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.mp3")}, self.wall)

    def kept(self) -> set[str]:
        return {path.parent.name for path in self.folders.outputs.glob("*/vocals.mp3")}


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(*tests: Callable[[Machine], Awaitable[None]]) -> Machine:
        """Each test in a process of its own, on one data directory."""
        machine = Machine(tmp_path)
        monkeypatch.setattr("server.jobs.webhooks.sending.time.time", lambda: machine.wall)
        monkeypatch.setattr("server.jobs.webhooks.sending.random.random", lambda: 0.5)

        async def main(test: Callable[[Machine], Awaitable[None]]) -> None:
            async with Database(tmp_path / "t.db") as db:
                await machine.start(db)
                await test(machine)

        with structlog.testing.capture_logs() as lines:
            for test in tests:
                asyncio.run(main(test))
        assert not [line for line in lines if line.get("exc_info")], lines
        return machine

    return run
