"""A clock that jumps: nothing is removed, sent, forgotten or overtaken because of it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import structlog

from server.jobs import clock as module
from server.jobs.clock import Clock, Reading, jump_between
from server.jobs.disk.folders import Folders
from server.jobs.janitor import Janitor, Retention
from server.jobs.sources.uploads import Uploads
from server.jobs.webhooks.sending import Sender
from store import (
    AccountRepository,
    AnsweredBefore,
    ClockRepository,
    Database,
    IdempotencyRecord,
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
        self.uploads = Uploads(UploadRepository(db), self.folders, lambda: None)
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


async def begin(machine: Machine) -> None:
    await machine.minute()
    await machine.job("old")
    await machine.minute()


@pytest.mark.parametrize("jump", [25 * HOUR, 50 * 365 * 24 * HOUR, -25 * HOUR])
def test_a_jump_removes_no_outputs(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        machine.passes(30)
        machine.wall += jump
        for _ in range(3):
            await machine.minute()
            machine.passes(60)
        assert machine.kept() == {"old"}
        assert (await machine.jobs.get("old")).state == "completed"

    play(lambda m: begin_and(m, test))


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_what_was_there_goes_a_whole_retention_after_the_jump(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        machine.wall += jump
        await machine.minute()
        machine.passes(KEPT * HOUR - 10)
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.passes(max(0.0, -jump) + 20)
        await machine.minute()
        assert machine.kept() == set()

    play(lambda m: begin_and(m, test))


def test_a_jump_while_the_server_is_down_is_noticed(play) -> None:
    async def jumped(machine: Machine) -> None:
        machine.passes(5 * HOUR)
        machine.wall += 25 * HOUR
        await machine.minute()
        assert machine.kept() == {"old"}

    async def later(machine: Machine) -> None:
        machine.passes(HOUR)
        await machine.minute()
        assert machine.kept() == {"old"}, "a restart does not end the doubt"
        machine.passes(KEPT * HOUR)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, jumped, later)


def test_time_that_has_really_passed_counts(play) -> None:
    """Sleep of the machine included: the steady clock goes on in it."""
    async def test(machine: Machine) -> None:
        machine.passes(25 * HOUR)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, test)


def test_after_a_boot_the_clock_has_a_while_to_be_set(play) -> None:
    """A machine without a clock of its own begins somewhere, and is set a minute later."""
    async def booted(machine: Machine) -> None:
        machine.boot, machine.steady = "another", 20.0
        machine.wall += 1000 * HOUR
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.wall -= 999 * HOUR  # set
        machine.passes(60)
        await machine.minute()
        machine.passes(module.SETTLING)
        await machine.minute()
        assert machine.kept() == {"old"}

    play(begin, booted)


def test_after_a_boot_old_files_go_as_ever(play) -> None:
    async def booted(machine: Machine) -> None:
        machine.boot, machine.steady = "another", 20.0
        machine.wall += 48 * HOUR
        await machine.minute()
        machine.passes(module.SETTLING)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, booted)


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_deliveries_keep_their_schedule(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("told", callback="http://c")
        machine.status = 500
        for pause in (0, 5, 30, 120, 600):
            machine.passes(pause)
            await machine.minute()
        assert len(machine.posts) == 5
        machine.wall += jump  # the next attempt is in an hour
        await machine.minute()
        machine.passes(HOUR - 10)
        await machine.minute()
        assert len(machine.posts) == 5, "not because of the jump"
        machine.passes(20)
        await machine.minute()
        assert len(machine.posts) == 6, "and not a day later"

    play(test)


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_a_job_that_ends_between_the_jump_and_the_next_look_is_told_of_at_once(
    play, jump: float
) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("before", callback="http://before")
        machine.wall += jump
        await machine.job("after", callback="http://after")
        machine.status = 200
        await machine.minute()
        assert sorted(machine.posts) == ["http://after", "http://before"]

    play(test)


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_idempotency_keys_are_remembered_as_long_as_promised(play, jump: float) -> None:
    async def known(machine: Machine, key: str = "k") -> bool:
        now = await machine.clock.check()
        try:
            await machine.jobs.check_idempotency(machine.account, key, now - 24 * HOUR)
        except AnsweredBefore:
            return True
        return False

    async def test(machine: Machine) -> None:
        await machine.clock.check()
        record = IdempotencyRecord("k", "h", "{}", 0.0)
        await machine.jobs.create(new_job("j", machine.wall, ONE, account_id=machine.account,
                                          idempotency_record=record))
        machine.passes(HOUR)
        machine.wall += jump
        assert await known(machine), "a repeated order would be a second job"
        machine.passes(22 * HOUR)
        assert await known(machine)
        machine.passes(48 * HOUR)
        assert not await known(machine)

    play(test)


def test_jobs_that_wait_keep_their_turn(play) -> None:
    async def test(machine: Machine) -> None:
        await machine.clock.check()
        for name in ("first", "second"):
            await machine.job(name, end=False)
            machine.passes(1)
        machine.wall -= 25 * HOUR
        await machine.clock.check()
        await machine.job("third", end=False)
        order = [(await machine.jobs.stages.claim("audio", f"b/{n}", machine.wall)).job.id
                 for n in range(3)]
        assert order == ["first", "second", "third"]

    play(test)


def test_a_move_that_cannot_be_written_is_made_up_for(play, monkeypatch) -> None:
    async def test(machine: Machine) -> None:
        await machine.minute()
        await machine.job("old")
        machine.wall += 25 * HOUR
        move = ClockRepository.move

        async def full(*_: object) -> None:
            raise OSError("full")

        monkeypatch.setattr(ClockRepository, "move", full)
        with pytest.raises(OSError, match="full"):
            await machine.clock.check()
        await machine.janitor.sweep(machine.wall)
        assert machine.kept() == {"old"}
        moved: list[float] = []

        async def seen(self: ClockRepository, record: str, jump: float, now: float) -> None:
            moved.append(jump)
            await move(self, record, jump, now)

        monkeypatch.setattr(ClockRepository, "move", seen)
        await machine.clock.check()
        await machine.clock.check()
        assert moved == [25 * HOUR], "once, and not twice"

    play(test)


def test_what_is_no_jump() -> None:
    at = Reading("b", START, 100.0)
    assert jump_between(at, Reading("b", START + 69.0, 160.0)) == 0.0, "little"
    assert jump_between(at, Reading("b", START + 2 * 86400 + 80, 2 * 86400 + 100)) == 0.0, "slewed"
    assert jump_between(at, Reading("b", START + 90.0, 160.0)) == 30.0
    assert jump_between(at, Reading("c", START + 9e9, 3.0)) == 0.0, "nobody knows"
    assert jump_between(at, Reading("c", START - 99.0, 3.0)) == -99.0
    assert jump_between(Reading("", START, 9e9), Reading("", START + 5, 3.0)) == 0.0, "unnamed boot"


def test_the_real_clocks_agree() -> None:
    boot = module.machine_boot()
    a, b = module.read_clocks(boot), module.read_clocks(boot)
    assert jump_between(a, b) == 0.0 and b.steady >= a.steady > 0
    assert msgspec.json.decode(json.dumps(msgspec.to_builtins(a)), type=Reading) == a
    assert os.path.exists("/proc")


async def begin_and(machine: Machine, test: Callable[[Machine], Awaitable[None]]) -> None:
    await begin(machine)
    await test(machine)
