"""A data directory with jobs of every kind and all that belongs to them, and a look at one."""

import asyncio
import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from server.jobs.disk.folders import Folders, server_secret
from server.upkeep import looking
from store import (
    FETCH,
    AccountRepository,
    CreditRepository,
    Database,
    Entry,
    JobRepository,
    StagePlan,
    Track,
    UploadRepository,
    WebhookRepository,
)
from store.uploads import Ticket
from store.webhooks import Webhook
from tests.store.conftest import new_job

PLAN = (StagePlan("decode", "audio"), StagePlan("encode/vocals", "audio", needs=("decode",)))
TO_FETCH = (StagePlan("fetch", FETCH), StagePlan("decode", "audio", needs=("fetch",)))
SONG = bytes(range(256)) * 64
SECONDS = 30


class Room:
    """One data directory while it is filled."""

    def __init__(self, root: Path, db: Database, account: str) -> None:
        self.folders, self.account = Folders(root), account
        self.jobs, self.credits = JobRepository(db), CreditRepository(db)
        self.uploads, self.hooks = UploadRepository(db), WebhookRepository(db)
        self.leases, self.now = 0, time.time()

    async def accept(self, name: str, api: str = "stemsplit", **more: object) -> None:
        """A job with its input, 30 seconds of a song; its credits are held."""
        owned = api == "stemsplit"
        more = {"plan": PLAN, "request": json.dumps({"seconds": SECONDS - 0.5}),
                "seconds": SECONDS if owned else None,
                "account_id": self.account if owned else None} | more
        await self.jobs.create(new_job(name, self.now, api=api, **more))  # type: ignore[arg-type]
        (self.folders.scratch / name).mkdir()
        (self.folders.scratch / name / "input").write_bytes(SONG + name.encode())
        (self.folders.outputs / name).mkdir()

    async def runs(self, name: str, finish: bool = True, fail: bool = False) -> None:
        """Its stages run, to their end or (`finish` False) up to the second one's beginning."""
        for number, stage in enumerate(PLAN):
            self.leases += 1
            claim = await self.jobs.stages.claim("audio", f"b/{self.leases}", self.now)
            assert claim is not None and claim.job.id == name
            if number and not finish:
                return
            if fail:
                await self.jobs.stages.fail(claim.stage, "no sound", self.now)
                break
            tracks = {"vocals": self.track(name)} if number else {}
            await self.jobs.stages.finish(claim.stage, {stage.name: 1}, tracks, self.now)
        self.folders.remove(self.folders.scratch, name)

    def track(self, name: str) -> Track:
        data = SONG + b"vocals" + name.encode()
        (self.folders.outputs / name / "vocals.mp3").write_bytes(data)
        return Track("vocals.mp3", len(data), zlib.crc32(data))


async def fill(room: Room) -> None:
    """Jobs that are done, failed, expired, running and waiting, of both APIs; an upload."""
    await room.credits.add(Entry(room.account, "grant", 1000, room.now))
    hook = Webhook("hook", room.account, "https://a.example", ["job.completed", "job.failed"],
                   "whsec_AAAA", room.now)
    await room.hooks.add(hook, 9)
    for name in ("done", "told", "failed", "expired", "cancelled"):
        await room.accept(name, callback_url="https://b.example" if name == "told" else None)
        if name == "cancelled":
            await room.jobs.cancel(name, "The job was cancelled", room.now)
            room.folders.remove(room.folders.scratch, name)
        else:
            await room.runs(name, fail=name == "failed")
    for name in ("failed", "cancelled"):
        room.folders.remove(room.folders.outputs, name)
    await room.jobs.remove("expired", room.now)
    room.folders.remove(room.folders.outputs, "expired")
    await room.accept("pipeline", api="pipeline")
    await room.runs("pipeline")
    await room.accept("running")
    await room.runs("running", finish=False)
    await room.accept("waiting")
    await room.accept("fetching", plan=TO_FETCH, seconds=None,
                      request='{"seconds": 0.0, "source_url": "https://a.example/song"}')
    (room.folders.scratch / "fetching" / "input").unlink()
    await room.accept("measuring", plan=TO_FETCH, request='{"seconds": 0.0}', seconds=None)
    key = "uploads/ann/random/input.mp3"
    await room.uploads.add(Ticket(key, room.account, "a.mp3", room.now + 900))
    (room.folders.uploads / "random").write_bytes(SONG)
    await room.uploads.receive(key, len(SONG), hashlib.sha256(SONG).hexdigest())


def make(root: Path, filling: Callable[[Room], Awaitable[None]] = fill) -> Path:
    """A data directory; nobody serves from it."""
    async def main() -> None:
        Folders(root).create()
        server_secret(root)
        async with Database(root / "stembox.db") as db:
            account = await AccountRepository(db).ensure("ann", 1.0)
            await filling(Room(root, db, account))

    asyncio.run(main())
    return root


def look(root: Path) -> list[str]:
    """Which promises are broken, and by whom."""
    return [f"{found.promise} {found.subject}"
            for found in looking.look(root, lambda name, done: None)]


def change(root: Path, *statements: str) -> None:
    """By hand, as no server would."""
    with closing(sqlite3.connect(root / "stembox.db", isolation_level=None)) as db:
        for name in ("ledger_is_not_changed", "ledger_is_not_cut", "job_is_over"):
            db.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            db.execute(statement)


def files(root: Path) -> dict[str, bytes]:
    """All that is kept, but what SQLite writes itself."""
    return {str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and "stembox.db" not in path.name and path.name != "lock"}


def states(root: Path) -> dict[str, str]:
    with closing(sqlite3.connect(root / "stembox.db")) as db:
        return dict(db.execute("SELECT id, state FROM jobs"))
