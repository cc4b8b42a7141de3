"""What is swept, and what is kept: leftovers, uploads, files whose time is over."""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from server.jobs.clock import Clock
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom
from server.jobs.janitor import Janitor, Retention
from server.jobs.sources.uploads import Uploads
from server.jobs.webhooks.sending import SHARES
from store import (
    AccountRepository,
    ClockRepository,
    CreditRepository,
    Database,
    Entry,
    JobRepository,
    Track,
    UploadRepository,
    WebhookRepository,
)
from store.deliveries import Attempt
from store.uploads import KEPT_SECONDS
from tests.store.conftest import PLAN, new_job

BROKEN, TAKEN = Attempt(1.0, 0.1, 500, "HTTP 500"), Attempt(1.0, 0.1, 200, None)
HOURS = 2.0
DAYS = 30.0
WEEK = 7.0  # days
NOW = 1_000_000.0
ONE = PLAN[:1]


class World(NamedTuple):
    folders: Folders
    jobs: JobRepository
    uploads: Uploads
    tickets: UploadRepository
    credits: CreditRepository
    hooks: WebhookRepository
    janitor: Janitor
    account: str
    cancelled: list[str]


@pytest.fixture
def play(tmp_path: Path):
    def run(test: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            folders = Folders(tmp_path)
            folders.create()
            async with Database(tmp_path / "t.db") as db:
                jobs, tickets = JobRepository(db), UploadRepository(db)
                uploads = Uploads(tickets, folders, DiskRoom(jobs.rooms, folders, 0))
                cancelled: list[str] = []

                async def cancel(job_id: str) -> None:
                    cancelled.append(job_id)

                janitor = Janitor(jobs, folders, uploads, WebhookRepository(db),
                                  Retention(3600 * HOURS, 86400 * DAYS, 86400 * WEEK),
                                  lambda: {"arriving"}, Clock(ClockRepository(db)), db.sizes,
                                  cancel)
                account = await AccountRepository(db).ensure("ann", 1.0)
                await test(World(folders, jobs, uploads, tickets, CreditRepository(db),
                                 WebhookRepository(db), janitor, account, cancelled))

        with structlog.testing.capture_logs() as lines:
            asyncio.run(main())
        assert not [line for line in lines if line.get("exc_info")]

    return run


def test_leftovers_go_and_what_arrives_stays(play) -> None:
    async def test(world: World) -> None:
        spool = world.folders.spool
        for name in ("arriving", "dead"):
            (spool / name).mkdir()
        (spool / "upload-dead").write_bytes(b"half")
        ticket = await world.uploads.ticket(world.account, "a.mp3")
        async with world.uploads.arriving(ticket.key, 4) as part:
            part.write_bytes(b"half")
            await world.janitor.sweep(NOW)
            assert {path.name for path in spool.iterdir()} == {"arriving", part.name}

    play(test)


def test_uploads_are_kept_an_hour_beyond_their_time(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.uploads.ticket(world.account, "a.mp3")
        async with world.uploads.arriving(ticket.key, 4) as part:
            part.write_bytes(b"song")
            await world.uploads.receive(ticket.key, part, 4, "d")
        (world.folders.uploads / "nobody's").write_bytes(b"x")
        await world.janitor.sweep(ticket.expires_at + KEPT_SECONDS - 1)
        assert [path.read_bytes() for path in world.folders.uploads.iterdir()] == [b"song"]
        (world.folders.spool / "job").mkdir()
        await world.uploads.take(world.account, ticket.key, world.folders.spool / "job")
        await world.janitor.sweep(ticket.expires_at + KEPT_SECONDS + 1)
        assert list(world.folders.uploads.iterdir()) == []
        assert await world.tickets.get(ticket.key) is None

    play(test)


def test_jobs_whose_time_is_over(play) -> None:
    async def test(world: World) -> None:
        await world.credits.add(Entry(world.account, "grant", 100, 1.0))
        for number, name in enumerate(("completed", "failed", "waiting")):
            await world.jobs.create(new_job(name, float(number), ONE, api="stemsplit",
                                            account_id=world.account, seconds=10))
            (world.folders.outputs / name).mkdir()
        ended = NOW - 3600 * HOURS
        stage = (await world.jobs.stages.claim("audio", "b/1", ended)).stage
        await world.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.mp3")}, ended)
        stage = (await world.jobs.stages.claim("audio", "b/2", ended)).stage
        await world.jobs.stages.fail(stage, "broken", ended)

        async def states() -> list[str]:
            names = ("completed", "failed", "waiting")
            return [(await world.jobs.get(name)).state for name in names]

        before = (await world.credits.balance(world.account))[0]
        assert before == 100 - 10 - 10, "one captured, one held"
        await world.janitor.sweep(NOW)
        assert await states() == ["completed", "failed", "expired"]
        await world.janitor.sweep(NOW + 1)
        assert await states() == ["expired", "failed", "expired"], "a failed job stays failed"
        assert world.cancelled == ["waiting"], "the others have ended before"
        assert list(world.folders.outputs.iterdir()) == []
        assert (await world.credits.balance(world.account))[0] == 90, "released, unstarted"
        await world.janitor.sweep(time.time())
        assert len(await world.credits.entries(world.account)) == 1 + 3 + 3

    play(test)


@pytest.mark.parametrize("ahead", ["separate", "encode"])
def test_what_has_been_begun_is_done_however_long_it_waits(play, ahead: str) -> None:
    """Songs are decoded far ahead of the models; between two stages nobody is at work."""
    async def test(world: World) -> None:
        await world.credits.add(Entry(world.account, "grant", 100, 1.0))
        await world.jobs.create(new_job("j", 0.0, api="stemsplit", account_id=world.account,
                                        seconds=10))  # fmt: skip
        (world.folders.outputs / "j").mkdir()
        for pool in ("audio", "separation", "audio")[: 1 if ahead == "separate" else 3]:
            stage = (await world.jobs.stages.claim(pool, f"b/{pool}", NOW - 60)).stage
            await world.jobs.stages.finish(stage, {}, {}, NOW - 30)
        await world.janitor.sweep(NOW)
        assert (await world.jobs.get("j")).state == "processing"
        assert (await world.credits.balance(world.account))[0] == 90, "still held"
        assert world.cancelled == [] and (world.folders.outputs / "j").exists()

    play(test)


async def ended_pipeline_job(
    world: World, name: str, fail: bool, account: str | None = None
) -> float:
    """With a callback, long ago; returns when its files and its row are past their time."""
    await world.jobs.create(new_job(name, NOW, ONE, callback_url="https://a.example",
                                    account_id=account))  # fmt: skip
    stage = (await world.jobs.stages.claim("audio", f"b/{name}", NOW)).stage
    if fail:
        await world.jobs.stages.fail(stage, "broken", NOW)
    else:
        await world.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.wav")}, NOW)
    return NOW + 3600 * HOURS + 1


def test_nobody_is_told_of_files_that_are_gone(play, monkeypatch) -> None:
    """A job has expired before they go: an event that is sent at that moment names none."""
    async def test(world: World) -> None:
        await world.jobs.create(new_job("song", 0.0, ONE))
        files = world.folders.outputs / "song"
        files.mkdir()
        ended = NOW - 3600 * HOURS
        stage = (await world.jobs.stages.claim("audio", "b/1", ended)).stage
        await world.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.wav")}, ended)
        expire, there = world.jobs.expire, []

        async def expired(job_id: str, now: float) -> None:
            await expire(job_id, now)
            there.append(files.exists())

        monkeypatch.setattr(world.jobs, "expire", expired)
        await world.janitor.sweep(NOW + 1)
        assert there == [True] and not files.exists()

    play(test)


def test_a_full_disk_that_takes_no_row_takes_one_when_files_are_gone(play, monkeypatch) -> None:
    """Where the write-ahead log has no room either, what is overdue is all that can make some."""
    async def test(world: World) -> None:
        ended = NOW - 3600 * HOURS
        for name in ("first", "second"):
            await world.jobs.create(new_job(name, 0.0, ONE))
            (world.folders.outputs / name).mkdir()
            stage = (await world.jobs.stages.claim("audio", f"b/{name}", ended)).stage
            await world.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.wav")}, ended)
        expire, expired = world.jobs.expire, []

        async def full(job_id: str, now: float) -> None:
            if (world.folders.outputs / "first").exists():
                raise OSError(errno.ENOSPC, "the database: database or disk is full")
            await expire(job_id, now)
            expired.append(job_id)

        monkeypatch.setattr(world.jobs, "expire", full)
        await world.janitor.sweep(NOW + 1)
        assert not any(world.folders.outputs.iterdir())
        assert expired == ["first", "second"]

    play(test)


@pytest.mark.parametrize("done", [False, True])
def test_a_job_that_is_taken_up_while_others_expire_goes_on(
    play, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    async def test(world: World) -> None:
        await world.credits.add(Entry(world.account, "grant", 100, 1.0))
        await world.jobs.create(new_job("j", 0.0, ONE, api="stemsplit", account_id=world.account,
                                        seconds=10))  # fmt: skip
        look = world.jobs.due

        async def due(before: float) -> list[tuple[str, bool]]:
            found = await look(before)
            stage = (await world.jobs.stages.claim("audio", "b/1", NOW)).stage
            (world.folders.outputs / "j").mkdir()
            if done:
                await world.jobs.stages.finish(stage, {}, {"vocals": Track("vocals.mp3")}, NOW)
            return found

        monkeypatch.setattr(world.jobs, "due", due)
        await world.janitor.sweep(NOW)
        assert (await world.jobs.get("j")).state == ("completed" if done else "processing")
        assert [folder.name for folder in world.folders.outputs.iterdir()] == ["j"]

    play(test)


def test_a_job_that_its_owner_removes_is_told_of_all_the_same(play) -> None:
    async def test(world: World) -> None:
        later = await ended_pipeline_job(world, "j", False)
        await world.jobs.expire("j", later)
        await world.janitor.sweep(later + 1)
        assert len(await world.hooks.due(later + 2, SHARES)) == 1

    play(test)


def test_what_goes_is_reported_with_what_the_database_takes(play) -> None:
    """And a delivery that is over goes in its own time, while its job stays."""
    async def test(world: World) -> None:
        await world.jobs.create(new_job("told", NOW, ONE, api="stemsplit", account_id=world.account,
                                        callback_url="https://a.example"))
        (world.folders.outputs / "told").mkdir()
        (world.folders.outputs / "nobodys").mkdir()
        stage = (await world.jobs.stages.claim("audio", "b/1", NOW)).stage
        await world.jobs.stages.finish(stage, {}, {}, NOW)
        (delivery,) = await world.hooks.due(NOW, SHARES)
        await world.hooks.delivered(delivery, Attempt(NOW, 0.1, 200, None), NOW)
        week = NOW + 86400 * WEEK
        with structlog.testing.capture_logs() as lines:
            for now in (NOW, NOW + 1, week, week + 1, week + 2):
                await world.janitor.sweep(now)
        swept = [line for line in lines if line["event"] == "swept"]
        counted = {"leftovers", "uploads", "expired", "pipeline_jobs", "stemsplit_jobs", "answers",
                   "deliveries"}
        assert [{key: line[key] for key in line.keys() & counted} for line in swept] == [
            {"leftovers": 1}, {"expired": 1}, {"deliveries": 1}]
        assert all(line["database_bytes"] > line["database_free_bytes"] >= 0 for line in swept)
        assert (await world.jobs.get("told")).state == "expired"

    play(test)


def test_a_report_that_cannot_be_made_ends_no_sweeping(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> None:
        raise OSError("the database cannot be read")

    async def test(world: World) -> None:
        monkeypatch.setattr(world.janitor, "_sizes", failing)
        (world.folders.outputs / "nobodys").mkdir()
        with structlog.testing.capture_logs() as lines:
            await world.janitor.sweep(NOW)
        assert [line["event"] for line in lines if line.get("exc_info")] == [
            "what was swept cannot be reported"]
        assert list(world.folders.outputs.iterdir()) == []

    play(test)
