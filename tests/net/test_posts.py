"""W3: an endpoint that hangs, drips or talks too much delays nobody, and is cut off."""

import asyncio
import time
from typing import Any

import pytest

from server.errors import AddressForbidden, Unreachable
from server.net import Answer, Guard
from server.net import client as module
from server.net.client import MOST_ANSWER
from tests.net.places import (
    MUCH_LATER,
    Behave,
    Call,
    Server,
    WarpedLoop,
    drips,
    floods,
    guarded,
    ok,
    says,
    serving,
)

BODY = b'{"event": "job.completed"}'


async def hang(_: Call, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(MUCH_LATER * 2)


def post(behave: Behave, seconds: float = MUCH_LATER) -> tuple[Answer, Server]:
    async def main() -> tuple[Answer, Server]:
        async with serving(behave) as server:
            answer = await guarded().post(
                f"{server.url}/hook?a=b", BODY, {"X-Webhook-Id": "7", "User-Agent": "u"}, seconds
            )
            return answer, server

    return asyncio.run(main())


def test_what_is_sent_and_what_comes_back() -> None:
    answer, server = post(says(ok(b"thanks")))
    assert answer == Answer(200, b"thanks")
    (call,) = server.calls
    assert (call.line, call.body) == ("POST /hook?a=b HTTP/1.1", BODY)
    assert call.head["content-length"] == str(len(BODY))
    assert call.head["x-webhook-id"] == "7"
    assert call.head["user-agent"] == "u"


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 308, 400, 410, 500])
def test_every_status_is_an_answer_and_no_redirect_is_followed(status: int) -> None:
    head = f"HTTP/1.1 {status} x\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    answer, server = post(says(head.encode()))
    assert answer.status == status
    aim = f"{server.url}/other" if status in (301, 302, 307, 308) else None
    assert answer.redirect == aim
    assert len(server.calls) == 1


@pytest.mark.parametrize(("location", "aim"), [
    ("https://new.example/hook", "https://new.example/hook"), ("//new.example/a", "http://new.example/a"),
    ("?b=c", "/hook?b=c"), ("http://[", "http://["), ("http://10.0.0.1/", "http://10.0.0.1/"),
])  # fmt: skip
def test_where_a_redirect_leads_is_told(location: str, aim: str) -> None:
    head = f"HTTP/1.1 302 x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    answer, server = post(says(head.encode()))
    assert answer.redirect == (server.url + aim if aim.startswith("/") else aim)
    assert len(server.calls) == 1


def test_an_answer_without_end_is_read_to_64_kib() -> None:
    answer, _ = post(floods(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert answer == Answer(200, b"x" * MOST_ANSWER)


def test_the_connection_is_closed_behind_the_64th_kib() -> None:
    async def main() -> None:
        async with serving(floods(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
            await guarded().post(server.url, b"", {}, MUCH_LATER)
            async with asyncio.timeout(MUCH_LATER):
                while server.closed == 0:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


DRIPS = {
    "nothing": hang,
    "head": drips(b"HTTP/1.1 200 OK\r\nA: "),
    "only hints": floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.mark.parametrize("slow", DRIPS)
def test_what_takes_too_long_is_cut_at_the_deadline(slow: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.3 seconds"):
        post(DRIPS[slow], 0.3)
    assert time.monotonic() - began < MUCH_LATER


def then_hangs(data: bytes) -> Behave:
    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await asyncio.sleep(MUCH_LATER * 2)

    return behave


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"
BODIES = {
    "drips": drips(HEAD), "no end": drips(b"HTTP/1.1 200 OK\r\n\r\n"),
    "hangs": then_hangs(HEAD + b"x"), "hangs at once": then_hangs(HEAD),
    "cut off": says(HEAD + b"x"),
    "no chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_once_the_head_is_here_its_status_counts(monkeypatch, body: str) -> None:
    """Whatever becomes of the body, and soon."""
    monkeypatch.setattr(module, "BODY_SECONDS", 0.2)
    began = time.monotonic()
    answer, _ = post(BODIES[body])
    assert answer.status == 200
    assert set(answer.body) <= set(b"x")
    assert time.monotonic() - began < MUCH_LATER


def test_a_body_has_a_time_of_its_own(monkeypatch) -> None:
    """The head may have taken nearly all of the call's."""
    monkeypatch.setattr(module, "BODY_SECONDS", MUCH_LATER)
    begun, go, read = asyncio.Event(), asyncio.Event(), module._beginning

    async def beginning(answer: Any) -> bytes:
        begun.set()
        return await read(answer)

    monkeypatch.setattr(module, "_beginning", beginning)

    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        await go.wait()
        writer.write(b"x")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpedLoop)
        async with serving(behave) as server:
            call = asyncio.create_task(guarded().post(server.url, BODY, {}, MUCH_LATER / 2))
            await begun.wait()
            await asyncio.sleep(0.05)  # and waits for the body
            loop.skew = MUCH_LATER * 0.75
            go.set()
            assert await call == Answer(200, b"x")

    with asyncio.Runner(loop_factory=WarpedLoop) as runner:
        runner.run(main())


def test_a_body_that_nobody_takes_is_cut_at_the_deadline() -> None:
    async def main() -> None:
        stuck = asyncio.Event()

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await stuck.wait()
            writer.close()

        listener = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable, match="within"):
            await guarded().post(url, bytes(64 << 20), {}, 0.3)
        stuck.set()
        listener.close()

    asyncio.run(main())


def test_the_slow_delay_nobody() -> None:
    """200 calls hang; another one to the same endpoint's neighbour is answered meanwhile."""

    async def main() -> None:
        async with serving(hang) as slow, serving(says(ok(b"quick"))) as quick:
            client = guarded()
            hanging = [
                asyncio.create_task(client.post(slow.url, BODY, {}, MUCH_LATER))
                for _ in range(200)
            ]
            async with asyncio.timeout(MUCH_LATER):
                while len(slow.calls) < 200:
                    await asyncio.sleep(0.01)
                answer = await client.post(quick.url, BODY, {}, MUCH_LATER)
            assert answer.body == b"quick"
            assert not any(task.done() for task in hanging)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)

    asyncio.run(main())


def test_a_refused_connection() -> None:
    async def main() -> None:
        async with serving(hang) as server:
            gone = server.url
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1 cannot be reached"):
            await guarded().post(gone, BODY, {}, MUCH_LATER)

    asyncio.run(main())


def test_a_forbidden_endpoint() -> None:
    with pytest.raises(AddressForbidden):
        asyncio.run(guarded(Guard()).post("http://10.0.0.1/", BODY, {}, MUCH_LATER))
