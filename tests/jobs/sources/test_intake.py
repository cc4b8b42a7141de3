"""What the way in refuses before it takes a byte."""

import asyncio
import shutil
import uuid
from pathlib import Path

import msgspec
import pytest

from server.config import load
from server.errors import ConfigError, DiskFull, ServerBusy
from server.jobs.sources.intake import Intake, new_job_id
from server.work.messages import Options, Result, Task
from server.work.workers import Workers
from store import AccountRepository, Database, JobRepository
from tests.jobs.disk.test_places import Usage
from tests.jobs.test_dispatcher import OPTIONS
from tests.store.conftest import new_job


@pytest.mark.parametrize(("free", "refused"), [(4.9, True), (5.0, False)])
def test_work_is_refused_below_the_share_of_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, refused: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1000, 0, 10 * free))
    config = load(environ={}, flags={"server.data_dir": str(tmp_path)})
    assert config.server.min_free_percent == 5

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            intake = Intake(config, JobRepository(database), Workers(stall_seconds=60))
            intake.folders.create()
            if refused:
                with pytest.raises(DiskFull):
                    await intake.reserve()
            else:
                await intake.reserve()
            assert len(list(intake.folders.spool.iterdir())) == (0 if refused else 1)

    asyncio.run(run())


def test_uploads_on_their_way_in_take_no_place_in_the_queue(tmp_path: Path) -> None:
    """However many are slow: a place is taken by what has come, and no more than there are."""
    config = load(environ={}, flags={
        "server.data_dir": str(tmp_path), "server.min_free_percent": 0, "limits.max_queued_jobs": 3,
    })  # fmt: skip

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            intake = Intake(config, JobRepository(database), Workers(stall_seconds=60))
            intake.folders.create()
            arriving = [(await intake.reserve())[0] for _ in range(20)]
            told = await asyncio.gather(*map(intake.enter, arriving), return_exceptions=True)
            assert sum(isinstance(one, ServerBusy) for one in told) == 17
            entered = [one for one, error in zip(arriving, told, strict=True) if error is None]
            with pytest.raises(ServerBusy):
                await intake.reserve()
            await intake.discard(entered[0])
            await intake.reserve()

    asyncio.run(run())


def test_a_queue_that_one_caller_fills_takes_one_job_each_of_others(tmp_path: Path) -> None:
    """Of those that have come in, and of those that are stored."""
    config = load(environ={}, flags={
        "server.data_dir": str(tmp_path), "server.min_free_percent": 0, "limits.max_queued_jobs": 3,
    })  # fmt: skip

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            jobs = JobRepository(database)
            intake = Intake(config, jobs, Workers(stall_seconds=60))
            intake.folders.create()
            await jobs.create(new_job("a", 1.0, address="10.0.0.1"))

            async def let_in(caller: str) -> bool:
                try:
                    job_id, _ = await intake.reserve(1, caller)
                    await intake.enter(job_id, caller)
                except ServerBusy:
                    return False
                return True

            assert [await let_in("10.0.0.1") for _ in range(3)] == [True, True, False]
            ann = await AccountRepository(database).ensure("ann", 1.0)
            await jobs.create(new_job("b", 2.0, account_id=ann))  # the fourth
            others = (ann, "bob", "bob", "10.0.0.2", "cid")
            assert [await let_in(caller) for caller in others] == [False, True, False, True, False]
            told = await asyncio.gather(*(jobs.cancel(one, "x", 3.0) for one in ("a", "b")))
            assert told == [True, True]
            assert [await let_in(caller) for caller in ("cid", ann)] == [True, True]
            assert not await let_in("10.0.0.1")

    asyncio.run(run())


class Crew:
    """Two places to look at files, each held until the test lets go."""

    def __init__(self) -> None:
        self.places, self.gate, self.seen = asyncio.Semaphore(2), asyncio.Event(), list[str]()

    async def reserve(self, pool: str, due: float) -> "Crew":
        await self.places.acquire()
        return self

    async def run(self, task: Task) -> Result:
        self.seen.append(task.job)
        try:
            await self.gate.wait()
        finally:
            self.places.release()
        return Result(task.id, {})


def test_one_callers_files_do_not_take_all_who_look_at_them(tmp_path: Path) -> None:
    config = load(environ={}, flags={"server.data_dir": str(tmp_path)})
    options = msgspec.json.decode(OPTIONS, type=Options)

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            crew = Crew()
            intake = Intake(config, JobRepository(database), crew)  # type: ignore[arg-type]
            (tmp_path / "input").write_bytes(b"song")

            def look(name: str, caller: str) -> asyncio.Task[object]:
                looking = intake.look(name, tmp_path, options, caller=caller)
                return asyncio.create_task(looking)

            looks = [look(f"greedy{number}", "greedy") for number in range(5)]
            await asyncio.sleep(0.01)
            looks.append(look("honest", "honest"))
            await asyncio.sleep(0.01)
            assert crew.seen == ["greedy0", "honest"]
            crew.gate.set()
            await asyncio.gather(*looks)
            assert len(crew.seen) == 6

    asyncio.run(run())


@pytest.mark.parametrize("box", ["", "a0", "07"])
def test_a_job_id_is_a_uuid4_that_begins_with_its_box(box: str) -> None:
    made = {new_job_id(box) for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith(box) and str(uuid.UUID(one)) == one for one in made)
    assert {uuid.UUID(one).version for one in made} == {4}


@pytest.mark.parametrize("box", ["a", "A0", "g0", "a0b"])
def test_a_box_is_two_hexadecimal_digits(box: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.box"):
        load(environ={}, flags={"server.box": box})
