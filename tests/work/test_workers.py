"""The socket between the API process and workers, with real sockets and pretended workers."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from server import errors
from server.errors import ServerBusy
from server.work import connected
from server.work import workers as workers_module
from server.work.channel import HEADER, Channel, ChannelClosed
from server.work.messages import Hello, Report
from server.work.workers import Workers
from tests.work.company import in_company, task, victim


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


def test_how_long_nobody_has_been_there() -> None:
    """From when the last one left, whether anybody asked meanwhile or not."""
    async def main(workers: Workers, path: Path) -> None:
        workers._began -= 1000
        assert workers.unready_for("victim") >= 1000, "none has ever come"
        process = victim(path, "hang")
        while not workers.ready("victim"):
            await asyncio.sleep(0.01)
        assert workers.unready_for("victim") == 0
        process.kill()
        while workers.ready("victim"):
            await asyncio.sleep(0.01)
        assert workers.unready_for("victim") < 500
        workers._left["victim"] -= 1000
        assert workers.unready_for("victim") >= 1000

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


def test_one_broken_card_of_several_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which keeps dying, and holds its pool's breaker open."""
    workers = Workers(60, pause=lambda pool: 5.0)
    monkeypatch.setattr(workers, "_here", Counter(separation=1, probe=1))
    workers.check_breaker("separation")
    with pytest.raises(ServerBusy, match="probe workers keep dying"):
        workers.check_breaker("probe")  # who looks at strangers' files dies over those
    monkeypatch.setattr(workers, "_here", Counter())
    with pytest.raises(ServerBusy, match="separation workers keep dying"):
        workers.check_breaker("separation")


def test_nobody_is_killed_for_the_time_in_which_everybody_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that was held, or a group of processes that was stopped."""
    stopped = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + stopped)
    for module in (workers_module, connected):
        monkeypatch.setattr(module, "time", clock)

    async def main(workers: Workers, path: Path) -> None:
        nonlocal stopped
        process = victim(path, "hang")
        slot = await workers.reserve("victim")
        running = asyncio.create_task(slot.run(task("x")))
        await asyncio.sleep(1.0)
        stopped = 3600.0
        await asyncio.sleep(1.2)
        assert process.poll() is None and not running.done()
        with pytest.raises(errors.WorkerLost):
            await asyncio.wait_for(running, 60)

    in_company(main, stall=4.0)
