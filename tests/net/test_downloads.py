"""Redirects, each judged anew; lengths that lie or never end; nothing is left behind."""

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from server.errors import AddressForbidden, FileTooLarge, Unreachable
from server.net import Downloaded, client, downloads
from tests.net.downloading import MB, OK, bad, down, to
from tests.net.downloading import target as target
from tests.net.places import (
    MUCH_LATER,
    Behave,
    Call,
    Server,
    drips,
    fetch,
    floods,
    guarded,
    ok,
    says,
    serving,
)


def test_a_song_arrives_whole(target: Path) -> None:
    body = os.urandom(3 * MB + 17)
    behave = says(ok(body, "Content-Type: audio/flac\r\n"))
    got = down(behave, target, "/a/My%20Song.flac?v=/2", max_bytes=len(body))
    assert got == Downloaded(len(body), None, "My Song.flac", "audio/flac")
    assert target.read_bytes() == body


def test_what_is_asked(target: Path) -> None:
    async def main() -> Server:
        async with serving(says(ok(b"x", "Set-Cookie: a=b\r\n"))) as server:
            for _ in range(2):
                await fetch(guarded(), f"{server.url}/x?y=%20z#w", target)
            return server

    server = asyncio.run(main())
    for call in server.calls:
        assert call.line == "GET /x?y=%20z HTTP/1.1"
        assert call.head["host"] == f"127.0.0.1:{server.port}"
        assert call.head["accept-encoding"] == "identity"
        assert call.head["user-agent"].startswith("stembox/")
        assert not {"cookie", "authorization", "referer"} & call.head.keys()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
def test_ten_redirects_are_followed(target: Path, status: str) -> None:
    steps = [f"/{n}" if n % 2 else f"{n}" for n in range(1, 11)]
    assert down(to(*steps, status=status), target).size_bytes == 4
    assert target.read_bytes() == b"song"


def test_a_redirect_with_spaces(target: Path) -> None:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.line == "GET / HTTP/1.1":
            writer.write(b"HTTP/1.1 302 x\r\nLocation: /My Song.mp3\r\nContent-Length: 0\r\n\r\n")
        else:
            assert call.line == "GET /My%20Song.mp3 HTTP/1.1"
            writer.write(ok(b"song"))

    assert down(behave, target).url_name == "My Song.mp3"


def test_an_eleventh_redirect_is_refused(target: Path) -> None:
    bad(to(*(f"/{n}" for n in range(1, 12))), target, Unreachable, "more than 10 times")


def test_urls_and_redirects_of_8192_characters(target: Path) -> None:
    async def main() -> Server:
        long: list[str] = []

        async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
            if call.line.startswith("GET /0"):
                head = f"HTTP/1.1 302 Found\r\nLocation: {long[0]}\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
            else:
                writer.write(ok(b"song"))

        async with serving(behave) as server:
            long.append(f"{server.url}/1".ljust(8192, "x"))
            assert (await fetch(guarded(), f"{server.url}/0".ljust(8192, "y"), target)).size_bytes
            for wrong in (f"{server.url}/1".ljust(8193, "x"), f"{server.url}/0"):
                long[0] = f"{server.url}/1".ljust(8193, "x")
                with pytest.raises(AddressForbidden, match="8192 characters"):
                    await fetch(guarded(), wrong, target)
            return server

    assert max(len(call.line) for call in asyncio.run(main()).calls) > 8100


@pytest.mark.parametrize("onward", [
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "//192.168.0.1/", "http://0xa.1/",
    "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/", "https://10.0.0.1/",
    "file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[", "https://",
    "gopher://127.0.0.1/", "http://127.0.0.1\\@8.8.8.8/", "http://127.0.0.1 @8.8.8.8/",
    "http://10.0.0.1 /", " http://10.0.0.1/", "http://10.0.\t0.1/",
])  # fmt: skip
@pytest.mark.parametrize("before", [0, 9])
def test_each_redirect_is_judged_anew(target: Path, onward: str, before: int) -> None:
    steps = [f"/{n + 1}" for n in range(before)]
    bad(to(*steps, onward), target, AddressForbidden, ".")


def test_a_redirect_without_an_aim_is_no_file(target: Path) -> None:
    bad(says(b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\nsong"), target, Unreachable, "302")


@pytest.mark.parametrize("status", ["404 Not Found", "403 No", "500 Oops", "304 Same", "206 Part"])
def test_another_status_is_no_file(target: Path, status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nsong".encode()
    bad(says(answer), target, Unreachable, f"HTTP {status[:3]}")


def test_too_large_by_its_own_word_is_not_even_begun(target: Path) -> None:
    head = f"{OK}Content-Length: {MB + 1}\r\n\r\n".encode()
    bad(says(head), target, FileTooLarge, "larger than 1048576 bytes")  # and not: cut off


def test_exactly_the_limit_passes_and_a_byte_more_does_not(target: Path) -> None:
    chunked = f"{OK}Transfer-Encoding: chunked\r\n\r\n"

    def body(size: int) -> Behave:
        return says(chunked.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))

    assert down(body(100), target, max_bytes=100).size_bytes == 100
    target.unlink()
    bad(body(101), target, FileTooLarge, "larger", max_bytes=100)


@pytest.mark.parametrize("head", [
    "", "Transfer-Encoding: chunked\r\n", "Content-Length: 10, 10\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 10\r\n",
])  # fmt: skip
def test_an_endless_body_is_stopped_at_the_limit(target: Path, head: str) -> None:
    if "10, 10" in head:  # no more than what it says is read
        assert down(floods(f"{OK}{head}\r\n".encode()), target).size_bytes == 10
        return
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if "chunked" in head else b"x" * 65536
    bad(floods(f"{OK}{head}\r\n".encode(), piece), target, FileTooLarge, "larger")


@pytest.mark.parametrize("answer", [
    "Content-Length: 10\r\n\r\nsong", "Transfer-Encoding: chunked\r\n\r\n4\r\nsong\r\n",
    "Transfer-Encoding: chunked\r\n\r\nzz\r\nsong\r\n",
])  # fmt: skip
def test_a_body_that_breaks_off(target: Path, answer: str) -> None:
    bad(says((OK + answer).encode()), target, Unreachable, "cut off")


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 200", b"song", b"\x16\x03\x01\x00\x00",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/one 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"a" * 300_000,
], ids=range(12))  # fmt: skip
def test_what_is_no_http(target: Path, answer: bytes) -> None:
    bad(says(answer), target, Unreachable, "no proper answer")


def test_a_body_without_a_length_ends_with_the_connection(target: Path) -> None:
    assert down(says(f"{OK}\r\nsong".encode()), target).size_bytes == 4


@pytest.mark.parametrize("head", ["Content-Length: 0\r\n", "", "Transfer-Encoding: chunked\r\n"])
def test_nothing_at_all_is_no_file(target: Path, head: str) -> None:
    end = "0\r\n\r\n" if "chunked" in head else ""
    bad(says(f"{OK}{head}\r\n{end}".encode()), target, Unreachable, "empty")


def test_a_file_that_is_moved_meanwhile_is_whole_where_it_is(target: Path) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
            await go.wait()
            writer.write(ok(b"song"))

        async with serving(behave) as server:
            task = asyncio.create_task(fetch(guarded(), server.url, target))
            async with asyncio.timeout(MUCH_LATER):
                while not server.calls:
                    await asyncio.sleep(0.01)
            moved = target.rename(target.with_name("elsewhere"))
            go.set()
            assert (await task).size_bytes == 4
            assert moved.read_bytes() == b"song"
            assert not target.exists()

    asyncio.run(main())


def test_a_cancelled_download_leaves_nothing(target: Path) -> None:
    async def main() -> None:
        async with serving(drips(f"{OK}\r\n".encode() + b"x" * (2 * MB))) as server:
            task = asyncio.create_task(fetch(guarded(), server.url, target, max_bytes=9 * MB))
            async with asyncio.timeout(MUCH_LATER):
                while not target.exists() or target.stat().st_size < MB:
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(MUCH_LATER):
                while server.closed == 0:  # the connection is closed as well
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    assert list(target.parent.iterdir()) == []


def test_a_write_under_way_ends_before_its_file_is_closed(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    finish = downloads.Sink.finish

    def slowly(sink, data) -> None:
        steps.append("begun")
        time.sleep(0.3)
        finish(sink, data)  # raises ValueError, were the file closed
        steps.append("written")

    monkeypatch.setattr(downloads.Sink, "finish", slowly)

    async def main() -> None:
        async with serving(says(ok(b"song"))) as server:
            task = asyncio.create_task(fetch(guarded(), server.url, target))
            async with asyncio.timeout(MUCH_LATER):
                while not steps:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert steps == ["begun", "written"]

    asyncio.run(main())
    assert not target.exists()


def test_a_full_disk_is_said_as_such(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(client, "sync", full)
    bad(says(ok(b"song")), target, OSError, "no space left")


def test_the_source_names_the_song(target: Path) -> None:
    """At the end of the way, in whatever way."""
    head = "Content-Disposition: attachment; {}\r\n"
    for coded in (
        head.format('filename="grüße.mp3"').encode(),
        head.format('filename="grüße.mp3"').encode("latin-1"),
        head.format("filename=x.mp3; filename*=UTF-8''gr%C3%BC%C3%9Fe.mp3").encode(),
    ):
        answer = OK.encode() + coded + b"Content-Length: 1\r\n\r\nx"
        got = down(says(answer), target, "/download")
        assert (got.file_name, got.url_name) == ("grüße.mp3", "download")


def test_the_name_of_the_last_url(target: Path) -> None:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        if "?id=7" in call.line:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /x/My%20Song.mp3?k=1\r\n"
                         b"Content-Length: 0\r\n\r\n")
        else:
            writer.write(ok(b"song"))

    got = down(behave, target, "/get?id=7")
    assert (got.file_name, got.url_name) == (None, "My Song.mp3")
