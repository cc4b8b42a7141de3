"""Accepting a job: sources that come at once and later, names, idempotency, what a 402 says."""

import asyncio
import json
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from server.config import load
from server.engine import catalog
from server.errors import (
    AddressForbidden,
    AudioError,
    FileTooLarge,
    IdempotencyConflict,
    InvalidRequest,
    ModelError,
    NotEnoughCredits,
    ServerBusy,
    Unreachable,
)
from server.jobs import split
from server.jobs.accounts import Accounts
from server.jobs.idempotency import Idempotency, meaning
from server.jobs.orders import Created, Order, Request
from server.jobs.sources import downloads as sources
from server.jobs.sources import fetching
from server.jobs.sources.fetching import Fetcher
from server.jobs.sources.intake import Intake
from server.jobs.sources.uploads import Uploads
from server.jobs.split import SplitService
from server.jobs.webhooks import sending as webhooks
from server.stems import OUTPUTS, SIX
from server.work.scratch import SAMPLE_RATE
from server.work.workers import Workers
from store import (
    AccountRepository,
    CreditRepository,
    Database,
    Entry,
    Job,
    JobRepository,
    UploadRepository,
    WebhookRepository,
)
from store.migrations import available, migrate
from tests.net.places import Behave, Call, Server, drips, guarded, ok, serving

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
        flags = {"server.data_dir": str(root), "server.min_free_percent": 0,
                 "fetch.total_timeout_s": 60.0}
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
        self.split = SplitService(config, self.jobs, self.intake, accounts, self.uploads,
                                  self.fetcher, Dispatcher())  # type: ignore[arg-type]
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
        defaults = {"account_id": self.account, "base_url": "http://x", "output_type": "BOTH",
                    "quality": "FAST", "output_format": "MP3"}
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
        return [str(path.relative_to(self.folders.data_dir))
                for folder in (self.folders.spool, self.folders.scratch)
                for path in folder.rglob("*") if path.is_file()]


def render(new: Created) -> bytes:
    return json.dumps({"id": new.id, "name": new.request.file_name, "credits": new.credits,
                       "seconds": new.request.seconds}).encode()


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(test: Callable[[World], Awaitable[None]], behave: Behave, now_s: float = 30.0) -> None:
        monkeypatch.setattr(sources, "NOW_SECONDS", now_s)

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
        defects = [line for line in lines if line.get("exc_info")]
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


def test_a_source_that_is_quick_is_known_in_the_answer(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        assert (made["name"], made["seconds"], made["credits"]) == ("song.wav", SECONDS, SECONDS)
        assert world.looked == [(SONG, "song.wav")]
        assert world.left() == [f"scratch/{made['id']}/input"]

    play(test, plain())


def test_a_source_that_is_slow_is_asked_once(play) -> None:
    """The running download is handed over, into the folder that has moved meanwhile."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        assert (made["name"], made["seconds"], made["credits"]) == ("song.wav", 0, 0)
        go.set()
        request = await world.settled(made["id"])
        assert (request.seconds, request.size_bytes) == (SECONDS, len(SONG))
        assert world.looked == [(SONG, "song.wav")]
        assert len(world.server.calls) == 1
        assert world.left() == [f"scratch/{made['id']}/input"]
        assert (await world.credits.balance(world.account))[0] == 100 - SECONDS

    play(test, slowly(go), now_s=0.2)


@pytest.mark.parametrize(("end", "sentence"), [
    (b"", "The answer was cut off"), (SONG[1000:], "no sound"),
])  # fmt: skip
def test_a_slow_source_that_turns_out_bad_fails_its_job(play, end: bytes, sentence: str) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        world.broken = True
        made = await world.create()
        go.set()
        await world.settled(made["id"])
        job = await world.job(made["id"])
        assert (job.state, job.error) == ("failed", sentence)
        assert len(world.server.calls) == 1
        await world.until(lambda: asyncio.sleep(0, not world.left()))
        assert (await world.credits.balance(world.account))[0] == 100

    play(test, slowly(go, end=end), now_s=0.2)


def test_a_slow_source_that_costs_too_much_names_what_it_needs(play) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(10)
        made = await world.create()
        go.set()
        await world.settled(made["id"])
        error = (await world.job(made["id"])).error
        assert error == "Not enough credits for this job: it needs 57 seconds."

    play(test, slowly(go), now_s=0.2)


def test_a_job_that_is_cancelled_stops_its_download(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        await world.split.delete(world.account, made["id"])
        await world.until(lambda: asyncio.sleep(0, world.server.closed == 1))
        assert (await world.job(made["id"])).state == "failed"
        assert world.fetcher._sources._downloads == {}

    play(test, drips(ENDLESS), now_s=0.2)


def test_a_job_that_is_not_accepted_after_all_stops_its_download(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        world.intake.accept = failing  # type: ignore[method-assign]
        with pytest.raises(FileTooLarge):
            await world.create()
        await world.until(lambda: asyncio.sleep(0, world.server.closed == 1))
        assert world.left() == []

    async def failing(_: object) -> Any:
        raise FileTooLarge("as good as any")

    play(test, drips(ENDLESS), now_s=0.2)


def test_after_a_restart_it_is_fetched_anew(play) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()

        async def taken_up() -> bool:
            return (await world.job(made["id"])).stages[0].state == "processing"

        await world.until(taken_up)
        for task in asyncio.all_tasks():  # the end of the process, and its next life
            if "Fetcher.run" in str(task.get_coro()):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        assert world.fetcher._sources._downloads == {}
        assert (await world.job(made["id"])).stages[0].state == "pending"
        go.set()
        again = asyncio.create_task(world.fetcher.run())
        assert (await world.settled(made["id"])).seconds == SECONDS
        assert len(world.server.calls) == 2
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    play(test, slowly(go), now_s=0.2)


@pytest.mark.parametrize("now_s", [30.0, 0.2])
@pytest.mark.parametrize(("head", "fields", "name"), [
    ('Content-Disposition: attachment; filename="Mine.mp3"\r\n', {}, "Mine.mp3"),
    ("Content-Disposition: attachment; filename*=UTF-8''%C3%A9%2Fb.mp3\r\n", {}, "b.mp3"),
    ('Content-Disposition: attachment; filename="Mine.mp3"\r\n', {"file_name": "Ours.mp3"},
     "Ours.mp3"),
    ("Content-Disposition: inline\r\n", {}, "song.wav"),
])  # fmt: skip
def test_the_source_names_the_song_unless_the_order_does(
    play, head: str, fields: dict[str, str], name: str, now_s: float
) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        if now_s > 1:
            go.set()
        made = await world.create(**fields)
        go.set()
        assert (await world.settled(made["id"])).file_name == name
        assert world.looked[0][1] == name
        if now_s > 1:
            assert made["name"] == name

    play(test, slowly(go, head), now_s=now_s)


@pytest.mark.parametrize(("path", "name"), [
    ("/get?id=7", "My Song.mp3"), ("/track.flac", "track.flac"), ("/", "My Song.mp3"),
])  # fmt: skip
def test_of_two_urls_the_one_that_looks_like_a_song_names_it(play, path: str, name: str) -> None:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.line.startswith(f"GET {path} "):
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /x/My%20Song.mp3?k=1\r\n"
                         b"Content-Length: 0\r\n\r\n")
        else:
            writer.write(ok(SONG))

    async def test(world: World) -> None:
        await world.grant(100)
        assert (await world.create(source_url=world.server.url + path))["name"] == name

    play(test, behave)


@pytest.mark.parametrize(("url", "error"), [
    ("http://[", AddressForbidden), ("nonsense", AddressForbidden),
    ("http://10.0.0.1/x", AddressForbidden), ("http://127.0.0.1:9/x", Unreachable),
])  # fmt: skip
def test_sources_that_cannot_be(play, url: str, error: type[Exception]) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        with pytest.raises(error):
            await world.create(source_url=url)
        assert world.left() == []

    play(test, plain())


@pytest.mark.parametrize("balance", [0, 1, SECONDS - 1])
def test_a_402_names_the_seconds_of_an_upload(play, balance: int) -> None:
    async def test(world: World) -> None:
        await world.grant(balance)
        key = await upload(world)
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create(upload_key=key)
        assert refused.value.required == SECONDS
        assert world.looked[0][1] == "mine.mp3"
        await world.grant(SECONDS)
        assert (await world.create(upload_key=key))["credits"] == SECONDS

    play(test, plain())


def test_a_402_names_the_seconds_of_a_source_that_was_fetched(play) -> None:
    async def test(world: World) -> None:
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create()
        assert (refused.value.required, world.server.calls) == (1, []), "no work is done for it"
        await world.grant(1)
        with pytest.raises(NotEnoughCredits) as refused:
            await world.create()
        assert refused.value.required == SECONDS
        assert world.left() == []

    play(test, plain())


async def upload(world: World) -> str:
    ticket = await world.uploads.ticket(world.account, "mine.mp3")
    async with world.uploads.arriving(ticket.key, len(SONG)) as part:
        part.write_bytes(SONG)
        await world.uploads.receive(ticket.key, part, len(SONG), "digest")
    return ticket.key


def test_one_key_and_one_meaning_make_one_job(play) -> None:
    async def test(world: World) -> None:
        await world.grant(1000)
        key = await upload(world)

        def once(**fields: Any) -> dict[str, Any]:
            order = world.order(upload_key=key, **fields)
            return {"once": Idempotency("k", meaning(order)), "upload_key": key} | fields

        first = await world.create(**once(metadata={"a": 1, "b": [2.0]}))
        assert await world.create(**once(metadata={"b": [2], "a": 1.0})) == first
        with pytest.raises(IdempotencyConflict):
            await world.create(**once(metadata={"b": [2], "a": True}))
        assert (await world.credits.balance(world.account))[0] == 1000 - SECONDS

    play(test, plain())


class Measuring:
    """Measures take as long as the test says."""

    def __init__(self, world: World) -> None:
        self.go, self.begun, self.most, self.now = asyncio.Event(), 0, 0, 0
        self._look = world.intake.look
        world.intake.look = self.look  # type: ignore[method-assign]

    async def look(self, *arguments: Any) -> dict[str, Any]:
        self.begun, self.now = self.begun + 1, self.now + 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        return await self._look(*arguments)


def test_places_to_fetch_are_given_back_before_measuring(play) -> None:
    """A queue at the measures holds up nobody's answer that the source is too slow."""
    async def test(world: World) -> None:
        await world.grant(1000)
        measuring = Measuring(world)
        made = [asyncio.create_task(world.create()) for _ in range(6)]
        await world.until(lambda: is_true(len(world.server.calls) == 6 and measuring.begun > 0))
        measuring.go.set()
        assert len(await asyncio.gather(*made)) == 6
        assert measuring.most == 2, "an account's files are measured two at a time"

    play(test, plain())


async def is_true(value: bool) -> bool:
    return value


def test_sources_in_the_background_wait_for_no_measures(play, monkeypatch) -> None:
    """Those of one account must not stand before everybody else's."""
    monkeypatch.setattr(fetching, "AT_ONCE", 2)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        measuring = Measuring(world)
        made = [await world.create() for _ in range(5)]
        go.set()
        await world.until(lambda: is_true(len(world.fetcher._running) == 5
                                          and not world.fetcher._sources._downloads))
        assert measuring.begun <= 2, "all sources are here, and no more than two are measured"
        measuring.go.set()
        for job in made:
            assert (await world.settled(job["id"])).seconds == SECONDS
        assert measuring.most == 2

    play(test, slowly(go), now_s=0.05)


async def stored(world: World) -> str:
    """All that the database says of jobs."""
    def rows(db: sqlite3.Connection) -> str:
        return "\n".join(str(tuple(row)) for row in db.execute("SELECT * FROM jobs"))

    return await world.jobs._db.read(rows)


SIGNED = "/song.wav?X-Amz-Signature=c0ffee"


def test_the_url_of_a_source_is_forgotten_when_it_is_here_at_once(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        await world.create(source_url=world.server.url + SIGNED)
        assert "c0ffee" not in await stored(world)

    play(test, plain())


@pytest.mark.parametrize("broken", [False, True])
def test_the_url_of_a_source_is_forgotten_when_it_is_here_later(play, broken: bool) -> None:
    """Before its length is measured: that may take long."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(source_url=world.server.url + SIGNED)
        assert "c0ffee" in await stored(world), "a restart would need it"
        world.broken, look, told = broken, world.intake.look, []

        async def looking(*arguments: Any) -> Any:
            told.append(await stored(world))
            return await look(*arguments)

        world.intake.look = looking  # type: ignore[method-assign]
        go.set()
        await world.settled(made["id"])
        assert "c0ffee" not in told[0]
        assert "c0ffee" not in await stored(world)

    play(test, slowly(go), now_s=0.2)


@pytest.mark.parametrize("way", ["fails", "cancelled", "expires"])
def test_the_url_of_a_source_is_forgotten_when_its_job_ends_without_it(play, way: str) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(source_url=world.server.url + SIGNED)
        if way == "fails":
            go.set()
            await world.settled(made["id"])
        elif way == "cancelled":
            await world.split.delete(world.account, made["id"])
        else:
            await world.jobs.expire(made["id"], 2.0)
            await world.fetcher.cancel(made["id"])
        assert (await world.job(made["id"])).state in ("failed", "expired")
        assert "c0ffee" not in await stored(world)
        assert (await world.request(made["id"])).file_name == "song.wav"

    play(test, slowly(go, end=b""), now_s=0.2)


def test_urls_that_were_kept_before_are_dropped_by_the_migration(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    old = [(number, sql) for number, sql in available() if number < 9]
    for number, sql in old:
        db.executescript(f"{sql}\nPRAGMA user_version = {number};")
    request = json.dumps({"seconds": 1.5, "source_url": "https://a/?c0ffee", "metadata": None})
    for name, state in (("done", "completed"), ("fetched", "processing"), ("waits", "processing")):
        db.execute("INSERT INTO jobs (id, api, state, options, created_at, request)"
                   " VALUES (?, 'stemsplit', ?, '{}', 1.0, ?)", (name, state, request))
        db.execute("INSERT INTO stages (job_id, name, position, pool, state)"
                   " VALUES (?, 'fetch', 0, 'fetch', ?)",
                   (name, "pending" if name == "waits" else "completed"))
    migrate(db)
    left = dict(db.execute("SELECT id, json_extract(request, '$.source_url') FROM jobs"))
    assert left == {"done": None, "fetched": None, "waits": "https://a/?c0ffee"}
    assert db.execute("SELECT json_extract(request, '$.seconds') FROM jobs").fetchone() == (1.5,)
    db.close()


@pytest.mark.parametrize("slow", [False, True])
def test_jobs_of_test_keys_cost_nothing_and_run_on_the_starter(play, slow: bool) -> None:
    """With not a second of credits, whether their length is known at once or later."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        if not slow:
            go.set()
        made = await world.create(test=True, quality="BEST", output_type="SIX_STEMS")
        assert made["credits"] == 0
        go.set()
        request = await world.settled(made["id"])
        assert (request.model, request.seconds, request.test) == ("starter", SECONDS, True)
        assert await world.credits.entries(world.account) == []
        job = await world.job(made["id"])
        assert [stage.name for stage in job.stages][-1] == "describe"
        assert "simulate" not in {stage.name for stage in job.stages}

    play(test, slowly(go), now_s=0.2 if slow else 30.0)


@pytest.mark.parametrize("slow", [False, True])
def test_a_test_job_fails_when_it_is_told_to(play, slow: bool) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        if not slow:
            go.set()
        made = await world.create(test=True, metadata={"simulate": "failed", "mine": 1},
                                  callback_url="https://a.example")
        go.set()
        await world.until(lambda: ended(world, made["id"]))
        job = await world.job(made["id"])
        assert (job.state, job.error) == (
            "failed", "This job failed because its metadata asked for it")
        hooks = WebhookRepository(world.jobs._db)
        assert [d.event for d in await hooks.due(2e9, webhooks.SHARES)] == ["job.failed"]
        assert (await world.request(made["id"])).metadata == {"simulate": "failed", "mine": 1}
        await world.until(lambda: asyncio.sleep(0, not world.left()))

    play(test, slowly(go), now_s=0.2 if slow else 30.0)


async def ended(world: World, job_id: str) -> bool:
    return (await world.job(job_id)).state == "failed"


def test_a_test_job_is_slow_when_it_is_told_to_and_in_nobodys_way(play, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "AT_ONCE", 1)
    pause = asyncio.Event()

    async def sleeping(_: object) -> None:
        await pause.wait()

    monkeypatch.setattr(fetching, "simulate", sleeping)

    async def test(world: World) -> None:
        slow = [await world.create(test=True, metadata={"simulate": "slow"}) for _ in range(3)]
        await world.until(lambda: is_true(len(world.fetcher._running) == 3))
        assert not world.fetcher._fetching
        assert await world.jobs.stages.claim("audio", "b/1", 2e9) is None, "nothing of it runs"
        pause.set()
        for _ in slow:
            await world.until(lambda: claimed(world))

    play(test, plain())


def test_what_costs_nothing_is_not_to_be_had_without_end(play, monkeypatch) -> None:
    monkeypatch.setattr(split, "MOST_TESTS", 2)

    async def test(world: World) -> None:
        await world.grant(100)
        made = [await world.create(test=True) for _ in range(2)]
        with pytest.raises(ServerBusy, match="test jobs"):
            await world.create(test=True)
        await world.create()
        await world.split.delete(world.account, made[0]["id"])
        await world.create(test=True)

    play(test, plain())


async def claimed(world: World) -> bool:
    return await world.jobs.stages.claim("audio", f"b/{uuid.uuid4()}", 2e9) is not None


def test_what_a_live_job_says_of_simulating_is_metadata(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(metadata={"simulate": "failed"})
        stages = {stage.name for stage in (await world.job(made["id"])).stages}
        assert "simulate" not in stages and made["credits"] == SECONDS
        for wish in ("nonsense", 7, ["failed"], {}):
            with pytest.raises(InvalidRequest, match=r"metadata\.simulate"):
                await world.create(test=True, metadata={"simulate": wish})
        assert len(world.left()) == 1, "what is refused leaves nothing"

    play(test, plain())


def test_a_test_job_is_no_repetition_of_a_live_one(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        live, trial = (world.order(source_url="http://a", test=test) for test in (False, True))
        assert meaning(live) != meaning(trial)

    play(test, plain())


def test_stems_by_name_and_the_model_that_makes_them(play) -> None:
    async def test(world: World) -> None:
        await world.grant(1000)
        job = await world.create(stems=("guitar", "bass"))
        request = await world.request(job["id"])
        options = json.loads((await world.job(job["id"])).options)
        assert (request.tracks, request.model) == (("guitar", "bass"), "starter_fast")
        assert (options["stems"], options["model"]) == (["guitar", "bass"], "starter_fast")
        names = {stage.name for stage in (await world.job(job["id"])).stages}
        assert {"encode/guitar", "encode/bass"} <= names and "encode/vocals" not in names
        other = await world.request((await world.create(model="starter"))["id"])
        assert (other.model, other.tracks) == ("starter", OUTPUTS["BOTH"])
        for order, tracks in (({}, SIX), ({"stems": ("bass",)}, ("bass",)),
                              ({"test": True}, OUTPUTS["BOTH"])):
            fields = {"model": "starter", "whole": "stems" not in order} | order
            whole = await world.request((await world.create(**fields))["id"])
            assert whole.tracks == tracks
        for fields, said in (({"stems": ("kazoo",)}, "No model here makes kazoo"),
                             ({"stems": ("kazoo",), "test": True}, "starter makes no kazoo"),
                             ({"model": "gone"}, "is not on this server")):
            with pytest.raises(InvalidRequest, match=said):
                await world.create(**fields)

    play(test, plain())


@pytest.mark.parametrize("steps", ["{ model = 'own' }", "{ model = 'own', stems = ['vocals'] }"])
def test_a_model_that_is_replaced_while_its_source_comes(
    play, tmp_path: Path, steps: str
) -> None:
    """The job is refused: it would lack a track."""
    listing = tmp_path / "data" / "models" / "own.yaml"

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        listing.write_text("models: [masks]\ngains: {kick: [1, 0, 0, 0, 0, 0, 0]}")
        writer.write(ok(SONG))

    async def test(world: World) -> None:
        await world.grant(100)
        listing.parent.mkdir(exist_ok=True)
        for path in catalog.STARTER.glob("masks.*"):
            shutil.copy(path, listing.parent)
        shutil.copy(catalog.STARTER / "starter_fast.yaml", listing)
        told = {"STEMBOX_PRESETS__VOICES": f"steps = [{steps}]"}
        world.split._config = load(environ=told, flags={"server.data_dir": str(tmp_path / "data")})
        with pytest.raises(ModelError, match="voices has been replaced or removed meanwhile"):
            await world.create(model="voices", stems=("vocals",))
        assert world.left() == []

    play(test, behave)


def test_models_are_looked_for_off_the_event_loop(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, threads = catalog.find, set()

    def find(*given: Any) -> catalog.ModelFiles | None:
        threads.add(threading.current_thread())
        return found(*given)

    async def test(world: World) -> None:
        await world.grant(100)
        monkeypatch.setattr(catalog, "find", find)
        await world.create(stems=("guitar",))
        assert threads and threading.current_thread() not in threads

    play(test, plain())


def test_orders_without_stems_mean_what_they_did() -> None:
    """An Idempotency-Key from before an upgrade is still answered as it was first."""
    fields = {"account_id": "a", "base_url": "b", "output_type": "BOTH", "quality": "FAST",
              "output_format": "MP3"}
    plain = meaning(Order(**fields))
    assert plain == "ed4dd6cb2924e69a5e88446f349b4ea754455a16156072cc9df723a35967a990"
    assert len({plain, meaning(Order(**fields, stems=("kick",))),
                meaning(Order(**fields, model="starter")),
                meaning(Order(**fields, model="starter", whole=True))}) == 4
