"""Sources that come from elsewhere, at once or in the background."""

import asyncio
import errno
from typing import Any

import pytest

from server.errors import AddressForbidden, DiskFull, FileTooLarge, Unreachable
from server.jobs import booking, stemsplit_jobs
from server.jobs.sources import fetching
from store import StageRepository
from tests.jobs.ordering import ENDLESS, SECONDS, SONG, World, is_true, plain, slowly
from tests.jobs.ordering import play as play
from tests.net.places import Call, drips, ok


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


def test_many_slow_sources_at_once_are_answered_in_time(play, monkeypatch) -> None:
    """Two of an account are tried at a time; who gets no turn soon comes in the background."""
    monkeypatch.setattr(stemsplit_jobs, "TURN_SECONDS", 0.1)
    monkeypatch.setattr(stemsplit_jobs, "AT_ONCE", 2)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        coming = [asyncio.create_task(world.create()) for _ in range(6)]
        await world.until(lambda: is_true(sum(one.done() for one in coming) == 4))
        assert not go.is_set(), "and nobody's source is here"
        go.set()
        for made in await asyncio.gather(*coming):
            assert (await world.settled(made["id"])).seconds == SECONDS
        assert len(world.server.calls) == 6, "each is asked once"

    play(test, slowly(go), now_s=30.0)


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
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: /x/My%20Song.mp3?k=1\r\nContent-Length: 0\r\n\r\n"
            )
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


def test_sources_in_the_background_wait_for_no_measures(play, monkeypatch) -> None:
    """Those of one account must not stand before everybody else's."""
    monkeypatch.setattr(fetching, "AT_ONCE", 2)
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(1000)
        measuring = Measuring(world)
        made = [await world.create() for _ in range(5)]
        go.set()
        await world.until(
            lambda: is_true(
                len(world.fetcher._running) == 5 and not world.fetcher._sources._downloads
            )
        )
        assert measuring.begun <= 2, "all sources are here, and no more than two are measured"
        measuring.go.set()
        for job in made:
            assert (await world.settled(job["id"])).seconds == SECONDS
        assert measuring.most == 2

    play(test, slowly(go), now_s=0.05)
