"""A job's event stream: what is said, when it ends, that it holds up no server that stops."""

import asyncio
import gc
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from server.api.listening import events
from server.api.listening.events import EventStreams, Look
from server.errors import JobNotFound, ServerBusy

from .fakes import FakeJobs, new_job, serving


def heard(stream: httpx.Response) -> list[dict[str, str]]:
    """The events of a whole stream, by their fields."""
    blocks = [block for block in stream.text.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_a_finished_job_is_told_of_once(client: httpx.Client, jobs: FakeJobs) -> None:
    job = jobs.finished().id
    answer = client.get(f"/job/{job}/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    (event,) = heard(answer)
    assert (event["event"], event["id"]) == ("job", "end")
    assert json.loads(event["data"]) == client.get(f"/job/{job}").json()
    again = client.get(f"/job/{job}/events", headers={"Last-Event-ID": "end"})
    assert (again.status_code, again.content) == (204, b"")
    head = client.head(f"/job/{job}/events")
    assert (head.status_code, head.headers["content-type"]) == (200, answer.headers["content-type"])
    assert "content-length" not in head.headers, "nobody knows it"


def test_changes_are_told_until_the_end(client: httpx.Client, jobs: FakeJobs) -> None:
    view = jobs.jobs["j"] = new_job("j", "song.wav")
    told = []
    with client.stream("GET", "/job/j/events") as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            told.append(json.loads(line.removeprefix("data: "))["status"])
            error = "broken" if len(told) == 1 else None
            state = "failed" if len(told) == 2 else "processing"
            jobs.jobs["j"] = msgspec.structs.replace(
                view, state=state, error=error, created_at=view.created_at + len(told)
            )
    assert told == ["processing", "processing", "failed"]


def test_a_job_that_is_removed_ends_the_stream(client: httpx.Client, jobs: FakeJobs) -> None:
    jobs.jobs["j"] = new_job("j", "song.wav")
    with client.stream("GET", "/job/j/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: job"
        del jobs.jobs["j"]
        assert not [line for line in lines if line.startswith("id:")]


def test_a_server_that_stops_does_not_wait_for_streams(app: Any, jobs: FakeJobs) -> None:
    """`serving` joins the server's thread, which ends with its last connection."""
    from server.api.edge.protocol import BoundedProtocol

    jobs.jobs["j"] = new_job("j", "song.wav")
    with serving(app, BoundedProtocol) as port:
        connection = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        stream = connection.stream("GET", "/job/j/events")
        lines = stream.__enter__().iter_lines()
        assert next(lines) == "event: job"
    with pytest.raises(httpx.RemoteProtocolError):
        list(lines)
    connection.close()


@pytest.mark.parametrize("stops", [True, False])
def test_a_stream_with_a_request_behind_it_ends_as_others_do(
    app: Any, jobs: FakeJobs, stops: bool
) -> None:
    """When the server stops, and when the client goes."""
    from server.api.edge.protocol import BoundedProtocol

    jobs.jobs["j"] = new_job("j", "song.wav")
    ended = threading.Event()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        ended.set()

    line = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(watched, BoundedProtocol) as port:
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.sendall(line % b"/job/j/events" + line % b"/config")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        if not stops:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            jobs.jobs["j"] = new_job("j", "another.wav")  # what is told finds nobody
            assert ended.wait(5)
    assert ended.wait(5)
    client.close()


class Request:
    method = "GET"
    headers: dict[str, str] = {}  # noqa: RUF012
    state = type("State", (), {})()

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.scope = {"client": (host, 1)}


def itself(told: Look) -> Look:
    return told


def play(look: Callable[[], Awaitable[Look]], monkeypatch: pytest.MonkeyPatch, count: int) -> bytes:
    """The first pieces of a stream, without the waiting."""
    real = asyncio.sleep
    monkeypatch.setattr(events.asyncio, "sleep", lambda seconds: real(0))

    async def main() -> bytes:
        answer = await EventStreams().answer(Request(), "j", look, itself)
        pieces = []
        async for piece in answer.body_iterator:
            pieces.append(piece)
            if len(pieces) == count:
                break
        return b"".join(pieces)

    return asyncio.run(main())


@pytest.mark.parametrize("slow", [False, True])
def test_a_quiet_stream_is_kept_open(monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    """However long a look takes."""
    looks = []
    monkeypatch.setattr(events, "QUIET_SECONDS", 0.2)

    async def look() -> Look:
        looks.append(None)
        if slow and len(looks) > 1:
            await asyncio.Event().wait()
        return Look(b"{}", False)

    said = play(look, monkeypatch, 3)
    assert said == b"event: job\ndata: {}\n\n" + 2 * b": still here\n\n"
    assert len(looks) == 2 if slow else len(looks) > 2


def test_streams_of_one_job_look_at_it_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says everything; who leaves leaves the others theirs; with the last the looking ends."""
    monkeypatch.setattr(events, "PAUSE", 0.01)
    looks, state = [], Look(b"0", False)

    async def look() -> Look:
        looks.append(None)
        return state

    async def read(streams: EventStreams, said: list[bytes]) -> None:
        answer = await streams.answer(Request(), "j", look, itself)
        async for piece in answer.body_iterator:
            said.append(piece)

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.001)

    async def main() -> None:
        nonlocal state
        streams, told = EventStreams(), [[] for _ in range(50)]
        readers = [asyncio.create_task(read(streams, said)) for said in told]
        began = asyncio.get_running_loop().time()
        for number in range(6):
            state = Look(b"%d" % number, number == 5)
            await until(lambda: all(len(said) == number + 1 for said in told))  # noqa: B023
            if number == 2:  # it has waited for the next look as the others do
                readers.pop(0).cancel()
                told.pop(0)
        await asyncio.gather(*readers)
        took = asyncio.get_running_loop().time() - began
        assert len(looks) <= 50 + took / 0.01 + 1
        ends = b"event: job\nid: end\ndata: 5\n\n"
        said = [b"event: job\ndata: %d\n\n" % number for number in range(5)]
        assert told == [[*said, ends]] * 49
        looked = len(looks)
        await asyncio.sleep(0.05)
        assert len(looks) == looked and not streams._watches

    asyncio.run(main())


def test_what_a_new_stream_says_is_followed_by_nothing_older(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another stream's look takes long: what it finds is from before."""
    monkeypatch.setattr(events, "PAUSE", 0.0)
    slow, state, looks = asyncio.Event(), 0, []

    async def look() -> Look:
        looks.append(None)
        found = Look(b"%d" % state, state == 2)
        if len(looks) == 2:
            await slow.wait()
        return found

    async def read(streams: EventStreams) -> list[bytes]:
        answer = await streams.answer(Request(), "j", look, itself)
        return [piece.split(b"data: ")[1].strip() async for piece in answer.body_iterator]

    async def main() -> None:
        nonlocal state
        streams = EventStreams()
        first = asyncio.create_task(read(streams))
        while len(looks) < 2:
            await asyncio.sleep(0)
        state = 1
        second = asyncio.create_task(read(streams))
        while len(looks) < 3:
            await asyncio.sleep(0)
        slow.set()
        while len(looks) < 6:
            await asyncio.sleep(0)
        state = 2
        assert await first == [b"0", b"1", b"2"]
        assert await second == [b"1", b"2"]

    asyncio.run(main())


def test_a_look_that_nobody_waits_for_any_more_is_no_defect() -> None:
    """A stream is closed, and its job removed: what the look at it finds is told to nobody."""
    async def main() -> list[str]:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context["message"]))  # fmt: skip

        async def gone() -> int:
            raise JobNotFound("Job not found")

        watch = events._Watch(gone)
        stream = asyncio.create_task(watch.next())
        await asyncio.sleep(0)
        stream.cancel()
        await asyncio.sleep(2 * events.PAUSE)
        del watch, stream
        gc.collect()
        await asyncio.sleep(0)
        return told

    assert asyncio.run(main()) == []


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_STREAMS", 4)

    async def look() -> Look:
        return Look(b"{}", False)

    async def gone() -> Look:
        raise JobNotFound("Job not found")

    async def sent(message: Any) -> None:
        raise OSError("the client has gone")

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def main() -> None:
        streams = EventStreams()
        with pytest.raises(JobNotFound):
            await streams.answer(Request(), "j", gone, itself)
        answers = [await streams.answer(Request(), "j", look, itself) for _ in range(2)]
        with pytest.raises(ServerBusy):
            await streams.answer(Request(), "j", look, itself)
        other = Request("10.0.0.1")  # has places of its own
        answers.append(await streams.answer(other, "j", look, itself))
        for answer in answers:
            with pytest.raises(OSError, match="gone"):
                await answer({"type": "http"}, receive, sent)
        await streams.answer(Request(), "j", look, itself)

    asyncio.run(main())
