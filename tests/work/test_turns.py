"""The task that is due first goes ahead, and the others lie still meanwhile."""

import asyncio
import math
from pathlib import Path

import pytest

from server import errors
from server.errors import WorkerGone, WorkerLost
from server.work.steps import Steps, finish, share
from server.work.workers import Workers
from tests.work.company import in_company, task, victim


def deaths(what: str) -> list[WorkerGone | WorkerLost]:
    """How two tasks end whose worker dies: the one that came first, and one that is due first."""
    found: list[WorkerGone | WorkerLost] = []

    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, what, in_turns=True)
        slots = [await workers.reserve("victim") for _ in range(2)]
        found.extend(await asyncio.gather(
            *(slot.run(task(f"x{due}", due)) for slot, due in zip(slots, (2, 1), strict=True)),
            return_exceptions=True,
        ))  # fmt: skip
        process.wait()

    in_company(main)
    return found


def test_what_lay_still_had_no_part_in_a_workers_death() -> None:
    ends = deaths("die")
    assert [type(end) for end in ends] == [WorkerGone, WorkerLost]
    assert ends[1].alone


def test_what_was_on_its_way_had_no_part_in_a_workers_death() -> None:
    """It is due first, but the worker was at another task and had not even read of it."""
    ends = deaths("busy")
    assert [type(end) for end in ends] == [WorkerLost, WorkerGone]
    assert ends[0].alone


def test_what_came_first_is_blamed_where_a_worker_died_before_it_said_anything() -> None:
    """The other is due first, and may not even have been read."""
    ends = deaths("die at once")
    assert [type(end) for end in ends] == [WorkerLost, WorkerGone]
    assert ends[0].alone


def test_the_task_that_is_due_first_goes_ahead() -> None:
    """Several lie still meanwhile, and go on one by one."""

    async def main(workers: Workers, path: Path) -> None:
        ends: list[str] = []

        async def one(name: str, due: float) -> None:
            slot = workers.try_reserve("test")
            ends.append((await slot.run(task(name, due))).facts["echo"])

        endless = asyncio.create_task(workers.try_reserve("test").run(task("forever", 50)))
        while not workers.of("test")[0].calls:
            await asyncio.sleep(0.01)
        assert workers.try_reserve("test").must_be_due_before == 50
        later = [asyncio.create_task(one(f"later {due}", due)) for due in (70, 60)]
        await asyncio.sleep(0.2)
        await asyncio.gather(*(one(f"clip {due}", due) for due in (20, 10, 30)))
        assert sorted(ends) == ["clip 10", "clip 20", "clip 30"], "the later ones lie still"
        endless.cancel()
        await asyncio.gather(*later)
        assert ends[3:] == ["later 60", "later 70"]

    in_company(main, slots=8)


def test_a_place_goes_where_the_least_urgent_task_would_lie_still() -> None:
    async def main(workers: Workers, path: Path) -> None:
        slots = []
        for due in (10.0, 30.0):
            slot = workers.try_reserve("test")
            assert slot.must_be_due_before == math.inf, "an idle one first"
            assert slot.worker.must_be_due_before == -math.inf, "not known yet: the most urgent"
            slot.due = due
            slots.append(slot)
        third = workers.try_reserve("test")
        assert (third.worker, third.must_be_due_before) == (slots[1].worker, 30.0)
        assert workers.try_reserve("test", alone=True) is None

    in_company(main, pretended=2, slots=3)


def test_a_task_that_lies_still_can_be_cancelled(tmp_path: Path) -> None:
    async def main(workers: Workers, path: Path) -> None:
        calls = []
        for name, due in (("clean", 2), ("bad end", 1), ("forever", 0)):
            slot = workers.try_reserve("test")
            calls.append(asyncio.create_task(slot.run(task(name, due, tmp_path))))
            await asyncio.sleep(0.1)
        for call in calls[:2]:
            call.cancel()
        while workers.of("test")[0].load > 1:
            await asyncio.sleep(0.01)
        assert (tmp_path / "clean").exists()
        calls[2].cancel()
        assert (await workers.try_reserve("test").run(task("fine"))).id == "fine"

    in_company(main, slots=3)


def test_what_lies_still_is_cleaned_up_when_the_api_process_goes(tmp_path: Path) -> None:
    async def main(workers: Workers, path: Path) -> None:
        still = asyncio.create_task(workers.try_reserve("test").run(task("clean", 2, tmp_path)))
        await asyncio.sleep(0.1)
        running = asyncio.create_task(workers.try_reserve("test").run(task("forever", 1)))
        await asyncio.sleep(0.1)
        workers.of("test")[0]._writer.close()
        with pytest.raises(errors.WorkerGone):
            await still
        with pytest.raises(errors.WorkerLost):
            await running
        while not (tmp_path / "clean").exists():
            await asyncio.sleep(0.01)

    in_company(main, slots=2)


def counting(upto: int) -> Steps[str]:
    for number in range(1, upto + 1):
        yield number / upto
    return "done"


def test_a_share_of_the_work_counts_as_such() -> None:
    heard: list[float] = []
    assert finish(share(1, 4, counting(2)), heard.append) == "done"
    assert heard == [(1 + 0.5) / 4, (1 + 1) / 4]
    assert finish(counting(0)) == "done"
