"""The socket between the API process and workers, with real sockets and pretended workers."""

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server import errors
from server.work.channel import HEADER, Channel, ChannelClosed
from server.work.messages import Hello, Options, Report, Result, Task
from server.work.scheduler import StepScheduler
from server.work.steps import Steps, finish, share
from server.work.workers import Workers

OPTIONS = Options(file_name="a.wav", model="m", overlap=0.25, wav_format="PCM_16",
                  target_lufs=-14, true_peak_dbtp=-1, max_seconds=60)


def task(name: str, due: float = 0.0, scratch: Path | str = "") -> Task:
    return Task(id=name, job="job", stage="test", due=due, source="", scratch=str(scratch),
                outputs="", options=OPTIONS)


def work(job: Task) -> Steps[Result]:
    match job.id:
        case "bad":
            raise errors.UnsupportedFormat("Unsupported audio format: .x")
        case "long":
            raise errors.AudioTooLong("too long")
        case "defect":
            raise ZeroDivisionError("x")
        case "forever":
            while True:
                yield 0.5
                time.sleep(0.01)
        case "clean":
            try:
                while True:
                    yield 0.5
                    time.sleep(0.01)
            finally:
                Path(job.scratch, job.id).touch()
        case "bad end":
            try:
                while True:
                    yield 0.5
                    time.sleep(0.01)
            finally:
                raise ZeroDivisionError("x")
    yield 0.5
    return Result(job.id, facts={"echo": job.id})


def pretend(path: Path, slots: int = 1) -> threading.Thread:
    """A worker in a thread of this process."""
    def live() -> None:
        channel = Channel(path)
        channel.listen()
        channel.accept()
        channel.greet(Hello("test", path.stem, 0, "cpu", slots, in_turns=True))
        try:
            StepScheduler(channel, work, lambda *_: None).serve()
        except ChannelClosed:
            channel.close()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    return thread


def in_company(main: Callable, stall: float = 60.0, pretended: int = 1, slots: int = 1) -> None:
    """Runs `main(workers, path)` with pretended workers, and calling one more at `path`."""
    async def body(path: Path) -> None:
        workers = Workers(stall)
        places = [path.with_name(f"test-{number}.sock") for number in range(pretended)]
        async with workers.called([*places, path]):
            threads = [pretend(place, slots) for place in places]
            while len(workers.of("test")) < pretended:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(main(workers, path), 60)
        for thread in threads:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive(), "a worker must notice that the API process is gone"

    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(body(Path(folder) / "victim-0.sock"))


def test_results_and_errors() -> None:
    async def main(workers: Workers, _: Path) -> None:
        slot = await workers.reserve("test")
        assert (await slot.run(task("fine"))).facts == {"echo": "fine"}
        for name, kind in (("bad", errors.UnsupportedFormat), ("long", errors.AudioTooLong),
                           ("defect", errors.StageFailed)):
            with pytest.raises(kind):
                await (await workers.reserve("test")).run(task(name))

    in_company(main)


def test_one_place_one_task_and_the_next_in_turn() -> None:
    async def main(workers: Workers, _: Path) -> None:
        slot = workers.try_reserve("test")
        assert workers.try_reserve("test") is None
        order: list[str] = []

        async def next_one(name: str, due: float) -> None:
            place = await workers.reserve("test", due)
            order.append(name)
            await place.run(task(name))

        waiting = [asyncio.create_task(next_one(*one)) for one in (("a", 1), ("b", 0), ("c", 1))]
        await asyncio.sleep(0.05)
        assert order == []
        slot.release()
        await asyncio.gather(*waiting)
        assert order == ["b", "a", "c"], "the earliest due, then first come, first served"
        slot.release()
        assert workers.try_reserve("test") is not None, "given back twice, counted once"

    in_company(main)


def test_a_waiter_that_goes_passes_its_place_on() -> None:
    async def main(workers: Workers, _: Path) -> None:
        slot = workers.try_reserve("test")
        first, second = (asyncio.create_task(workers.reserve("test")) for _ in range(2))
        await asyncio.sleep(0.01)
        slot.release()  # the first has it now, and is cancelled before it learns so
        first.cancel()
        assert await (await asyncio.wait_for(second, 5)).run(task("fine"))

    in_company(main)


def test_a_worker_that_is_gone_before_the_task_is_nobodys_fault() -> None:
    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, "hang")
        slot = await workers.reserve("victim")
        process.kill()
        while workers.ready("victim"):
            await asyncio.sleep(0.01)
        with pytest.raises(errors.WorkerGone):
            await slot.run(task("x"))

    in_company(main)


def test_many_tasks_over_two_workers() -> None:
    async def main(workers: Workers, _: Path) -> None:
        async def one(name: str) -> str:
            return (await (await workers.reserve("test")).run(task(name))).facts["echo"]

        names = [f"t{i}" for i in range(200)]
        assert await asyncio.gather(*(one(name) for name in names)) == names

    in_company(main, pretended=2)


def test_a_cancelled_caller_cancels_the_task_and_frees_the_place() -> None:
    async def main(workers: Workers, _: Path) -> None:
        running = asyncio.create_task((await workers.reserve("test")).run(task("forever")))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        slot = await asyncio.wait_for(workers.reserve("test"), 10)
        assert (await slot.run(task("fine"))).id == "fine"

    in_company(main)


LONELY = """
import sys, os, time
from pathlib import Path
from server.work.channel import Channel
from server.work.messages import Hello, Started
channel = Channel(Path(sys.argv[1]))
channel.listen()
channel.accept()
channel.greet(Hello("victim", "victim-0", os.getpid(), "cpu", 2, in_turns=sys.argv[3] == "True"))
first = channel.receive()
if sys.argv[2] == "busy":
    channel.send(Started(first.id))
    time.sleep(1)
    os.kill(os.getpid(), 9)
if sys.argv[2] == "die":
    channel.receive()
    os.kill(os.getpid(), 9)
time.sleep(600)
"""


def victim(path: Path, what: str, in_turns: bool = False) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", LONELY, str(path), what, str(in_turns)])


def test_a_dying_worker_is_noticed_by_everyone_who_waits() -> None:
    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, "die")
        slots = [await workers.reserve("victim") for _ in range(2)]
        ends = await asyncio.gather(
            *(slot.run(task(f"x{i}")) for i, slot in enumerate(slots)), return_exceptions=True)
        assert [type(end) for end in ends] == [errors.WorkerLost] * 2
        assert [end.alone for end in ends] == [False, False]
        assert not workers.ready("victim")
        process.wait()

    in_company(main)


def test_what_lay_still_had_no_part_in_a_workers_death() -> None:
    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, "die", in_turns=True)
        slots = [await workers.reserve("victim") for _ in range(2)]
        ends = await asyncio.gather(
            *(slot.run(task(f"x{due}", due)) for slot, due in zip(slots, (2, 1), strict=True)),
            return_exceptions=True)
        assert [type(end) for end in ends] == [errors.WorkerGone, errors.WorkerLost]
        assert ends[1].alone
        process.wait()

    in_company(main)


def test_what_was_on_its_way_had_no_part_in_a_workers_death() -> None:
    """It is due first, but the worker was at another task and had not even read of it."""
    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, "busy", in_turns=True)
        slots = [await workers.reserve("victim") for _ in range(2)]
        ends = await asyncio.gather(
            *(slot.run(task(f"x{due}", due)) for slot, due in zip(slots, (2, 1), strict=True)),
            return_exceptions=True)
        assert [type(end) for end in ends] == [errors.WorkerLost, errors.WorkerGone]
        assert ends[0].alone
        process.wait()

    in_company(main)


def test_a_silent_worker_with_work_is_killed_an_idle_one_is_not() -> None:
    async def main(workers: Workers, path: Path) -> None:
        process = victim(path, "hang")
        slot = await workers.reserve("victim")
        await asyncio.sleep(1.5)
        assert process.poll() is None, "it has no work: its silence is fine"
        with pytest.raises(errors.WorkerLost) as caught:
            await slot.run(task("x"))
        assert caught.value.alone
        assert await asyncio.to_thread(process.wait, 10) == -9
        assert workers.ready("test"), "the other one was idle all along"
        assert workers.losses == {("victim", "stalled"): 1}

    in_company(main, stall=0.8)


def test_rubbish_on_the_socket_harms_nobody() -> None:
    async def main(workers: Workers, path: Path) -> None:
        rubbish = [b"", b"\x00", b"\x00\x00\x00\x02hi", b"\xff" * 64]

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(rubbish.pop())
            writer.close()

        async with await asyncio.start_unix_server(answer, path):
            while rubbish:
                await asyncio.sleep(0.01)
        slot = await workers.reserve("test")
        assert (await slot.run(task("fine"))).id == "fine"

    in_company(main)


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
        assert workers.try_reserve("test").before == 50
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
            assert slot.before == math.inf, "an idle one first"
            assert slot.worker.before == -math.inf, "nothing is more urgent than what is not known"
            slot.due = due
            slots.append(slot)
        third = workers.try_reserve("test")
        assert (third.worker, third.before) == (slots[1].worker, 30.0)
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


def test_reports_add_up_and_end_no_task() -> None:
    async def main(workers: Workers, path: Path) -> None:
        channel = Channel(path)
        def report() -> None:
            channel.listen()
            channel.accept()
            channel.greet(Hello("victim", "victim-0", 0, "cuda:0", 1))
            channel.send(Report(segments=5, forwards=2, free=7, used=1))
            channel.send(Report(segments=3, forwards=1, free=6, used=2))

        await asyncio.to_thread(report)
        while workers.forwards < 3:
            await asyncio.sleep(0.01)
        assert workers.segments == 8
        (worker,) = workers.of("victim")
        assert (worker.report.free, worker.report.used) == (6, 2)
        channel.close()
        while workers.of("victim"):
            await asyncio.sleep(0.01)
        assert workers.losses == {("victim", "died"): 1}
        assert workers.segments == 8, "what a dead worker has done was done"

    in_company(main)


@pytest.mark.parametrize("said", [
    Hello("test", "victim-0", 0, "cpu", 1), Hello("victim", "victim-1", 0, "cpu", 1),
    Hello("victim", "victim-0", 0, "cpu", 10**9), Hello("victim", "victim-0", 0, "cpu", 0),
])  # fmt: skip
@pytest.mark.parametrize("late", [False, True])
def test_a_worker_is_only_what_its_place_says(said: Hello, late: bool) -> None:
    """Also one that says hello again: its connection ends, and its place is called anew."""
    async def main(workers: Workers, path: Path) -> None:
        honest = Hello("victim", "victim-0", 0, "cpu", 1)

        def lie() -> None:
            channel = Channel(path)
            channel.listen()
            channel.accept()
            channel.greet(honest if late else said)
            if late:
                channel.send(said)
            with pytest.raises(ChannelClosed):
                channel.receive()

        await asyncio.to_thread(lie)
        assert [worker.hello.pool for worker in workers.all()] == ["test"]
        assert not workers.ready("victim")
        assert not late or workers.losses == {("victim", "died"): 1}

    in_company(main)


def test_whatever_a_worker_says_ends_its_connection_alone() -> None:
    """Nested a thousand deep: the decoder gives up by an error of its own."""
    async def main(workers: Workers, path: Path) -> None:
        def babble(body: bytes) -> None:
            channel = Channel(path)
            channel.listen()
            channel.accept()
            channel._socket.sendall(HEADER.pack(len(body)) + body)
            with pytest.raises(ChannelClosed):
                channel.receive()

        for body in (b"\x91" * 100_000, b"", b"\xff", b"\xc1" * 9):
            await asyncio.to_thread(babble, body)
        process = victim(path, "hang")  # and whoever comes next is called as ever
        while not workers.ready("victim"):
            await asyncio.sleep(0.01)
        process.kill()
        process.wait()

    in_company(main)
