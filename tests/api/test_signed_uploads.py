"""Signed PUTs: repeated, cut off, at once; and how much of them an account may have."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from server.api.signing import BASE
from server.errors import UploadNotFound
from server.jobs.sources import uploads as module
from store import AccountRepository
from tests.api.putting import OTHER, SONG, World, code
from tests.api.putting import play as play

TAKEN = (409, "UPLOAD_ALREADY_USED")


def test_a_put_that_is_repeated_gets_its_first_answer(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        first = await world.put(ticket["uploadUrl"])
        assert first == (200, {"uploadKey": ticket["uploadKey"], "fileSizeBytes": len(SONG)})
        assert await world.put(ticket["uploadUrl"]) == first
        world.full = True  # it takes no room
        assert await world.put(ticket["uploadUrl"]) == first
        assert world.lying() == ([SONG], [])

    play(test)


def test_also_after_its_job_was_made_whose_file_stays(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        first = await world.put(ticket["uploadUrl"])
        job = world.folders.scratch / "job"
        job.mkdir()
        await world.uploads.take(world.account, ticket["uploadKey"], job)
        before = (job / "input").stat()
        assert await world.put(ticket["uploadUrl"]) == first
        assert code(await world.put(ticket["uploadUrl"], OTHER)) == TAKEN
        after = (job / "input").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert (job / "input").read_bytes() == SONG

    play(test)


@pytest.mark.parametrize("other", [OTHER, SONG[:-1], SONG + b"x", b"x"])
def test_other_bytes_are_refused_and_change_nothing(play, other: bytes) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        await world.put(ticket["uploadUrl"])
        assert code(await world.put(ticket["uploadUrl"], other)) == TAKEN
        assert code(await world.put(ticket["uploadUrl"], b"")) == (400, "INVALID_REQUEST")
        assert (await world.put(ticket["uploadUrl"]))[0] == 200
        assert world.lying() == ([SONG], [])

    play(test)


def hanging(body: bytes, go: asyncio.Event) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        await go.wait()
        yield body[1000:]

    return pieces()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("late", "end"), [(SONG, 200), (OTHER, 409)])
def test_a_put_that_hangs_keeps_out_no_other(play, late: bytes, end: int) -> None:
    async def test(world: World) -> None:
        url, go = (await world.ticket())["uploadUrl"], asyncio.Event()
        hung = asyncio.create_task(world.put(url, hanging(late, go)))
        await until(lambda: len(world.lying()[1]) == 1)
        assert (await world.put(url))[0] == 200
        go.set()
        assert (await hung)[0] == end
        assert world.lying() == ([SONG], [])

    play(test)


def test_many_at_once_are_one_file(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        puts = await asyncio.gather(*(world.put(url) for _ in range(module.AT_ONCE)))
        assert [status for status, _ in puts] == [200] * module.AT_ONCE
        assert world.lying() == ([SONG], [])

    play(test)


def test_of_different_files_at_once_one_wins_whole(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        bodies = [SONG, OTHER, SONG + b"x"]
        puts = await asyncio.gather(*(world.put(url, body) for body in bodies))
        assert sorted(status for status, _ in puts) == [200, 409, 409]
        winner = [status for status, _ in puts].index(200)
        assert world.lying() == ([bodies[winner]], [])
        assert (await world.put(url, bodies[winner]))[0] == 200

    play(test)


def test_hanging_puts_are_bounded(play) -> None:
    async def test(world: World) -> None:
        url, go = (await world.ticket())["uploadUrl"], asyncio.Event()
        hung = [asyncio.create_task(world.put(url, hanging(SONG, go)))
                for _ in range(module.AT_ONCE)]
        await until(lambda: len(world.lying()[1]) == module.AT_ONCE)
        assert code(await world.put(url)) == (429, "RATE_LIMIT_EXCEEDED")
        other = (await world.ticket())["uploadUrl"]
        assert (await world.put(other))[0] == 200, "another upload is nobody's business"
        go.set()
        assert {(await put)[0] for put in hung} == {200}

    play(test)


async def cut_off(world: World, url: str, body: bytes) -> None:
    """A client that goes in the middle of its body."""
    path, _, query = url.removeprefix("http://test").partition("?")
    messages = iter(({"type": "http.request", "body": body, "more_body": True},
                     {"type": "http.disconnect"}))
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(),
             "query_string": query.encode(),
             "headers": [(b"content-length", b"%d" % (len(body) + 1))],
             "scheme": "http", "server": ("test", 80), "client": ("c", 1), "root_path": ""}
    await world.app(scope, receive, send)  # type: ignore[arg-type]
    assert not sent


def test_what_is_cut_off_leaves_nothing_and_may_come_again(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        await cut_off(world, url, SONG[:-5])
        assert world.lying() == ([], [])
        assert (await world.put(url))[0] == 200
        await cut_off(world, url, OTHER)
        await cut_off(world, url, SONG[:2000])
        assert world.lying() == ([SONG], [])
        assert (await world.put(url))[0] == 200

    play(test)


def test_a_server_that_died_before_it_booked_the_file_takes_it_again(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        left = world.folders.uploads / ticket["uploadKey"].split("/")[2]
        left.write_bytes(OTHER)  # complete, and nobody was told
        assert (await world.put(ticket["uploadUrl"]))[0] == 200
        assert world.lying() == ([SONG], [])

    play(test)


def test_an_upload_of_before_digests_were_kept_is_refused(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        await world.put(ticket["uploadUrl"])
        kept = await world.uploads.find(ticket["uploadKey"])
        assert kept.sha256 == hashlib.sha256(SONG).hexdigest()
        await world.uploads._uploads._db.write(
            lambda db: db.execute("UPDATE uploads SET sha256 = NULL"))
        assert code(await world.put(ticket["uploadUrl"])) == TAKEN

    play(test)


def test_what_is_forgotten_is_not_known(play) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket()
        await world.put(ticket["uploadUrl"])
        await world.uploads.sweep(4e9)
        assert code(await world.put(ticket["uploadUrl"])) == (400, "UPLOAD_NOT_FOUND")
        assert world.lying() == ([], [])

    play(test)


def limited(world: World, tickets: int, size: int) -> None:
    """Lets the account have so many tickets, and so many bytes."""
    world.uploads._most_tickets, world.uploads._most_bytes = tickets, size


def test_tickets_of_an_account_that_wait_for_their_files_are_bounded(play) -> None:
    async def test(world: World) -> None:
        limited(world, 3, 1 << 30)
        asked = [world.http.post(f"{BASE}/upload", json={"filename": "a.mp3"}) for _ in range(8)]
        answers = await asyncio.gather(*asked)
        granted = [answer.json() for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert (len(granted), {answer.status_code for answer in refused}) == (3, {429})
        assert {answer.json()["error"]["code"] for answer in refused} == {"RATE_LIMIT_EXCEEDED"}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert (await world.put(granted[0]["uploadUrl"]))[0] == 200
        await world.ticket()  # the one that has its file counts no more

    play(test)


def test_bytes_of_an_account_that_wait_for_jobs_are_bounded(play) -> None:
    async def test(world: World) -> None:
        limited(world, 100, 3 * len(SONG))
        urls = [(await world.ticket())["uploadUrl"] for _ in range(8)]
        told = await asyncio.gather(*(world.put(url) for url in urls))
        assert sorted(status for status, _ in told) == [200] * 3 + [429] * 5
        assert len(world.lying()[0]) == 3
        assert world.lying()[1] == []
        answer = await world.http.post(f"{BASE}/upload", json={"filename": "a.mp3"})
        assert answer.status_code == 429, "before anything is sent in vain"
        assert "wait for a job" in answer.json()["error"]["message"]

    play(test)


def test_uploads_that_have_their_job_give_way_to_new_ones(play, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        limited(world, 100, 3 * len(SONG))
        tickets = []
        for number in range(6):
            ticket = await world.ticket()
            assert (await world.put(ticket["uploadUrl"]))[0] == 200
            folder = tmp_path / f"job{number}"
            folder.mkdir()
            await world.uploads.take(world.account, ticket["uploadKey"], folder)
            await world.uploads.used(ticket["uploadKey"])
            tickets.append(ticket)
        assert len(world.lying()[0]) == 3
        for number in range(6):
            assert (tmp_path / f"job{number}" / "input").read_bytes() == SONG, "a job's own"
        with pytest.raises(UploadNotFound, match="made room for newer ones: PUT the file again"):
            await world.uploads.take(world.account, tickets[0]["uploadKey"], tmp_path)
        assert (await world.put(tickets[0]["uploadUrl"], b"other"))[0] == 409
        assert (await world.put(tickets[0]["uploadUrl"]))[0] == 200, "the same again, as ever"
        await world.uploads.take(world.account, tickets[0]["uploadKey"], tmp_path)
        assert (tmp_path / "input").read_bytes() == SONG
        for _ in range(2):  # it is the last to go: no job was made of it since
            assert (await world.put((await world.ticket())["uploadUrl"]))[0] == 200
        (tmp_path / "input").unlink()
        await world.uploads.take(world.account, tickets[0]["uploadKey"], tmp_path)

    play(test)


def test_an_upload_whose_job_was_refused_gives_way_to_none(play, tmp_path: Path) -> None:
    """It is wanted again with more credits, or when the server has room."""
    async def test(world: World) -> None:
        limited(world, 100, 2 * len(SONG))
        ticket, *others = [await world.ticket() for _ in range(3)]
        assert (await world.put(ticket["uploadUrl"]))[0] == 200
        await world.uploads.take(world.account, ticket["uploadKey"], tmp_path)
        (tmp_path / "input").unlink()  # refused
        assert [(await world.put(other["uploadUrl"]))[0] for other in others] == [200, 429]
        await world.uploads.take(world.account, ticket["uploadKey"], tmp_path)
        assert (tmp_path / "input").read_bytes() == SONG

    play(test)


def test_accounts_do_not_share_their_bounds(play) -> None:
    async def test(world: World) -> None:
        limited(world, 1, len(SONG))
        assert (await world.put((await world.ticket())["uploadUrl"]))[0] == 200
        accounts = AccountRepository(world.db)
        other = await accounts.ensure("bob", 1.0)
        await world.uploads.ticket(other, "a.mp3")

    play(test)
