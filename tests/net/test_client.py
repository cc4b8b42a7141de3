"""U3, U4 and W3: redirects, lengths that lie, bodies without an end, and those that drip."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from server.errors import AddressForbidden, FileTooLarge, Unreachable
from server.net import Guard, GuardedClient
from server.net.client import MOST_ANSWER

Serve = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
LIMIT = 100_000
LOCAL = Guard.of(["127.0.0.0/8"], own_port=1)


def answer(body: bytes = b"sound", status: str = "200 OK", **headers: object) -> bytes:
    named = {"Content-Length": len(body)} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in named.items() if v is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def play(serve: Serve, act: Callable[[GuardedClient, str], Awaitable[object]]) -> object:
    """Runs `act(client, base URL)` against a raw server that answers each path by `serve`."""

    async def main() -> object:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                requests.append(head.decode())
                await serve(head.split(b" ")[1].decode(), writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        requests: list[str] = []
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(60):
                return await act(GuardedClient(LOCAL), f"http://127.0.0.1:{port}")
        finally:
            server.close()

    return asyncio.run(main())


def fixed(*answers: bytes) -> Serve:
    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[int(path.strip("/").split("/")[0] or 0)])
        await writer.drain()

    return serve


def download(target: Path, path: str = "/0", seconds: float = 30.0):
    return lambda client, base: client.download(base + path, target, LIMIT, seconds)


def refused(serve: Serve, target: Path, error: type[Exception], match: str = ".", **how) -> None:
    with pytest.raises(error, match=match):
        play(serve, download(target, **how))
    assert not target.exists()


def test_a_file_comes_whole(tmp_path: Path) -> None:
    body = bytes(range(256)) * 300
    got = play(fixed(answer(body, Content_Type="audio/wav")),
               download(tmp_path / "x", "/0/a%20song.wav?key=1"))
    assert (got.size_bytes, got.file_name, got.content_type) == (
        len(body), "a song.wav", "audio/wav")
    assert (tmp_path / "x").read_bytes() == body


def test_a_body_without_a_length(tmp_path: Path) -> None:
    play(fixed(answer(b"abc", Content_Length=None)), download(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"abc"


def test_redirects_are_followed_three_times(tmp_path: Path) -> None:
    hops = [answer(b"", "302 Found", Location=f"/{i + 1}") for i in range(4)]
    play(fixed(*hops[:3], answer(b"end")), download(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"end"
    (tmp_path / "x").unlink()
    refused(fixed(*hops, answer(b"end")), tmp_path / "x", Unreachable, "redirects")


@pytest.mark.parametrize("location", [
    "http://10.0.0.1/", "http://169.254.169.254/latest/", "//[::1]/", "file:///etc/passwd",
    "http://user@127.0.0.1/", "ftp://127.0.0.1/", "http://0xa000001/",
])
def test_a_redirect_is_judged_anew(tmp_path: Path, location: str) -> None:
    hop = answer(b"", "301 Moved", Location=location)
    refused(fixed(hop), tmp_path / "x", AddressForbidden)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "304 Same",
                                    "206 Partial Content"])
def test_only_200_is_a_file(tmp_path: Path, status: str) -> None:
    refused(fixed(answer(b"", status)), tmp_path / "x", Unreachable, status.split()[0])


def test_lengths_that_lie(tmp_path: Path) -> None:
    target = tmp_path / "x"
    refused(fixed(answer(b"abc", Content_Length=LIMIT + 1)), target, FileTooLarge)
    refused(fixed(answer(b"abc", Content_Length=10)), target, Unreachable)
    refused(fixed(answer(b"", Content_Length=0)), target, Unreachable, "empty")
    refused(fixed(answer(b"abc", Content_Length="many")), target, Unreachable)
    refused(fixed(b"SSH-2.0-no HTTP at all\r\n\r\n"), target, Unreachable)


def test_a_body_without_an_end_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    sent = 0

    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(answer(b"", Content_Length=None))
        while True:
            writer.write(bytes(8192))
            sent += 8192
            await writer.drain()

    refused(serve, tmp_path / "x", FileTooLarge)
    assert sent < 100 * LIMIT


def test_a_gzip_bomb_is_not_opened(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(10 << 20))
    assert len(bomb) < LIMIT
    refused(fixed(answer(bomb, Content_Encoding="gzip")), tmp_path / "x", Unreachable, "encoded")


@pytest.mark.parametrize("begin", [b"", answer(b"", Content_Length=1000)[:20],
                                   answer(b"", Content_Length=1000)])
def test_one_byte_at_a_time_is_stopped_at_the_deadline(tmp_path: Path, begin: bytes) -> None:
    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    refused(serve, tmp_path / "x", Unreachable, "longer than", seconds=0.3)


def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"abc", Content_Length=1000))
        await writer.drain()
        await asyncio.sleep(30)

    async def act(client: GuardedClient, base: str) -> None:
        task = asyncio.create_task(client.download(base, tmp_path / "x", LIMIT, 30))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    play(serve, act)
    assert not (tmp_path / "x").exists()


def test_a_post_sends_what_it_was_given() -> None:
    heard = bytearray()

    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"thanks", "202 Accepted"))
        await writer.drain()

    async def act(client: GuardedClient, base: str) -> object:
        return await client.post(f"{base}/0", b'{"a": 1}', {"X-Own": "yes"}, 30)

    got = play(serve, act)
    assert (got.status, got.body) == (202, b"thanks")
    assert not heard


def test_a_post_follows_no_redirect() -> None:
    hop = answer(b"", "302 Found", Location="http://10.0.0.1/")
    got = play(fixed(hop), lambda client, base: client.post(f"{base}/0", b"", {}, 30))
    assert got.status == 302


def test_of_a_long_answer_to_a_post_64_kib_are_read() -> None:
    sent = 0

    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(answer(b"", Content_Length=None))
        while sent < 50_000_000:
            writer.write(bytes(8192))
            sent += 8192
            await writer.drain()

    got = play(serve, lambda client, base: client.post(base, b"", {}, 30))
    assert len(got.body) == MOST_ANSWER
    assert sent < 50_000_000


def test_an_endpoint_that_hangs_is_left_at_the_deadline() -> None:
    async def serve(path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    with pytest.raises(Unreachable, match="No answer"):
        play(serve, lambda client, base: client.post(base, b"", {}, 0.3))
