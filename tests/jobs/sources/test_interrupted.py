"""Sources on their way when the disk is full, the job ends or the server stops."""

import asyncio
import errno
import shutil
from typing import Any

import pytest
from msgspec import structs

from server.errors import DiskFull, FileTooLarge
from server.jobs import booking
from server.jobs.sources import fetching
from store import StageRepository
from tests.jobs.ordering import ENDLESS, SECONDS, SONG, World, is_true, plain, slowly
from tests.jobs.ordering import play as play
from tests.net.places import drips


@pytest.mark.parametrize(("writes", "broken"), [
    (("set_request", "settle"), False), (("settle",), False), (("fail",), True),
])  # fmt: skip
def test_a_database_that_refuses_for_a_while_strands_no_source(
    play, monkeypatch, writes: tuple[str, ...], broken: bool
) -> None:
    monkeypatch.setattr(booking, "BOOKING_PAUSE", 0.01)
    refused: list[str] = []
    for name in writes:
        monkeypatch.setattr(StageRepository, name, refusing(name, refused))
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        world.broken = broken
        made = await world.create()
        go.set()
        await world.settled(made["id"])
        job = await world.job(made["id"])
        assert (job.state == "failed") is broken
        assert refused == [name for name in writes for _ in range(3)]
        assert len(world.server.calls) == 1, "what is fetched is not fetched again"

    play(test, slowly(go), now_s=0.2, told="booking failed: trying again")


def test_what_goes_back_into_the_queue_does_so_in_the_end(play, monkeypatch) -> None:
    """Where the disk is full for the source, it is so for the database."""
    monkeypatch.setattr(booking, "BOOKING_PAUSE", 0.01)
    monkeypatch.setattr(fetching, "PAUSE", 0.01)
    refused: list[str] = []
    monkeypatch.setattr(StageRepository, "release", refusing("release", refused))
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        full = iter((DiskFull("The server's disk is full"),))
        look = world.intake.look

        async def look_later(*arguments: Any) -> dict[str, Any]:
            for error in full:
                raise error
            return await look(*arguments)

        world.intake.look = look_later  # type: ignore[method-assign]
        go.set()
        assert (await world.settled(made["id"])).seconds == SECONDS
        assert refused == ["release"] * 3

    play(test, slowly(go), now_s=0.2, told="booking failed: trying again")


def test_what_is_on_its_way_has_its_room_on_the_disk(play) -> None:
    """The largest that may come; no longer than it takes."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        promises = world.intake.rooms._promises
        wanted = [(100 << 20, world.account)]
        await world.until(
            lambda: is_true([(one.size, one.caller) for one in promises.values()] == wanted)
        )
        go.set()
        await world.settled(made["id"])
        assert promises == {}

    play(test, slowly(go), now_s=0.2)


def test_what_is_measured_and_finds_no_room_is_not_measured_again(play, monkeypatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0.01)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        keep, full = world.intake.keep_room, iter([True] * 3)

        async def keep_later(*arguments: Any) -> None:
            if next(full, False):
                raise DiskFull("The server's disk is full")
            await keep(*arguments)

        world.intake.keep_room = keep_later  # type: ignore[method-assign]
        go.set()
        assert (await world.settled(made["id"])).seconds == SECONDS
        assert not next(full, False), "room was found at the fourth look"
        assert len(world.looked) == 1

    play(test, slowly(go), now_s=0.2)


def refusing(name: str, refused: list[str], times: int = 3) -> Any:
    """A repository's method that fails a few times, as on a full disk."""
    original = getattr(StageRepository, name)

    async def method(self: StageRepository, *arguments: Any, **named: Any) -> Any:
        if refused.count(name) < times:
            refused.append(name)
            raise OSError(errno.ENOSPC, "the database: disk full")
        return await original(self, *arguments, **named)

    return method


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


@pytest.mark.parametrize("at", ["claim", "first step"])
def test_a_stop_puts_back_what_has_hardly_begun(
    play, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        claimed, claim = asyncio.Event(), StageRepository.claim
        loops: list[asyncio.Task[Any]] = []

        async def last(self, *args):
            found = await claim(self, *args)
            if found is not None:
                loops.extend(stop())
                claimed.set()
                if at == "claim":  # nobody hears of it any more
                    await asyncio.Event().wait()
            return found

        monkeypatch.setattr(StageRepository, "claim", last)
        await world.grant(100)
        made = await world.create()
        await asyncio.wait_for(claimed.wait(), 30)
        await asyncio.gather(*loops, return_exceptions=True)
        stage = (await world.job(made["id"])).stages[0]
        assert (stage.state, stage.attempt) == ("pending", 0)

    play(test, drips(ENDLESS), now_s=0.2)


def stop() -> list[asyncio.Task[Any]]:
    """The end of the process, as far as its fetcher hears of it."""
    loops = [task for task in asyncio.all_tasks() if "Fetcher.run" in str(task.get_coro())]
    for task in loops:
        task.cancel()
    return loops


def test_after_a_restart_it_is_fetched_anew(play) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()

        async def taken_up() -> bool:
            return (await world.job(made["id"])).stages[0].state == "processing"

        await world.until(taken_up)
        await asyncio.gather(*stop(), return_exceptions=True)
        assert world.fetcher._sources._downloads == {}
        assert (await world.job(made["id"])).stages[0].state == "pending"
        go.set()
        again = asyncio.create_task(world.fetcher.run())
        assert (await world.settled(made["id"])).seconds == SECONDS
        assert len(world.server.calls) == 2
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    play(test, slowly(go), now_s=0.2)


def test_a_source_comes_though_its_jobs_folder_does_not_exist(play) -> None:
    """As after a restore: no backup holds an empty folder."""

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create()
        folder = world.folders.scratch / made["id"]
        shutil.rmtree(folder)
        asked = structs.replace(
            await world.request(made["id"]), source_url=f"{world.server.url}/song.wav"
        )
        await world.fetcher._fetch(await world.job(made["id"]), asked, folder)
        assert (folder / "input").read_bytes() == SONG

    play(test, plain())
