"""U3 and U4: redirects, each judged anew; lengths that lie or never end; nothing is left behind."""

import asyncio
import errno
import gzip
import os
import time
from pathlib import Path

import pytest

from server.errors import AddressForbidden, FileTooLarge, Unreachable
from server.net import Downloaded, downloads
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

MB = 1 << 20
OK = "HTTP/1.1 200 OK\r\n"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "song"


def down(behave: Behave, target: Path, path: str = "/", **limits: float) -> Downloaded:
    """One download from a server that behaves so."""

    async def main() -> Downloaded:
        async with serving(behave) as server:
            return await fetch(guarded(), server.url + path, target, **limits)

    return asyncio.run(main())


def bad(behave: Behave, target: Path, error: type[Exception], match: str, **limits: float) -> None:
    """A download that fails so, and leaves nothing: no file, nor any other."""
    with pytest.raises(error, match=match):
        down(behave, target, **limits)
    assert list(target.parent.iterdir()) == []


def to(*steps: str, status: str = "302 Found", end: bytes = b"song") -> Behave:
    """Redirects from /0 to the first step, from /1 to the second, and so on to the end."""

    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        step = int(call.line.split()[1].strip("/") or 0)
        if step == len(steps):
            writer.write(ok(end))
        else:
            head = f"HTTP/1.1 {status}\r\nLocation: {steps[step]}\r\nContent-Length: 9\r\n\r\n"
            writer.write(head.encode() + b"elsewhere")

    return behave


def test_a_song_arrives_whole(target: Path) -> None:
    body = os.urandom(3 * MB + 17)
    behave = says(ok(body, "Content-Type: audio/flac\r\n"))
    got = down(behave, target, "/a/My%20Song.flac?v=/2", max_bytes=len(body))
    assert got == Downloaded(len(body), "My Song.flac", "audio/flac")
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
def test_three_redirects_are_followed(target: Path, status: str) -> None:
    assert down(to("/1", "2", "/3", status=status), target).size_bytes == 4
    assert target.read_bytes() == b"song"


def test_a_fourth_redirect_is_refused(target: Path) -> None:
    bad(to("/1", "/2", "/3", "/4"), target, Unreachable, "more than 3 times")


@pytest.mark.parametrize("onward", [
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "//192.168.0.1/", "http://0xa.1/",
    "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/", "https://10.0.0.1/",
    "file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[", "https://",
    "gopher://127.0.0.1/", "http://127.0.0.1\\@8.8.8.8/",
])  # fmt: skip
@pytest.mark.parametrize("before", [0, 2])
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


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip", "x-unknown"])
def test_a_bomb_is_never_unpacked(target: Path, coding: str) -> None:
    bomb = gzip.compress(bytes(50 * MB))
    answer = says(ok(bomb, f"Content-Encoding: {coding}\r\n"))
    bad(answer, target, Unreachable, "encoded")


@pytest.mark.parametrize("head", ["Content-Length: 0\r\n", "", "Transfer-Encoding: chunked\r\n"])
def test_nothing_at_all_is_no_file(target: Path, head: str) -> None:
    end = "0\r\n\r\n" if "chunked" in head else ""
    bad(says(f"{OK}{head}\r\n{end}".encode()), target, Unreachable, "empty")


def test_identity_is_no_encoding(target: Path) -> None:
    assert down(says(ok(b"song", "Content-Encoding: Identity\r\n")), target).size_bytes == 4


SLOW: dict[str, Behave] = {
    "body": drips(f"{OK}Content-Length: 100000\r\n\r\n".encode()),
    "head": drips(b"HTTP/1.1 200 OK\r\nA: "),
    "no length": drips(f"{OK}\r\n".encode()),
    "redirect": drips(b"HTTP/1.1 302 Found\r\nLocation: /"),
}


@pytest.mark.parametrize("slow", SLOW)
def test_a_byte_at_a_time_is_cut_at_the_deadline(target: Path, slow: str) -> None:
    began = time.monotonic()
    bad(SLOW[slow], target, Unreachable, r"within 0\.3 seconds", timeout_s=0.3)
    assert time.monotonic() - began < MUCH_LATER


def test_the_deadline_holds_over_all_redirects_together(target: Path) -> None:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    bad(behave, target, Unreachable, "within", timeout_s=0.5)  # four would take longer


def test_a_cancelled_download_leaves_nothing(target: Path) -> None:
    async def main() -> None:
        async with serving(drips(f"{OK}\r\n".encode() + b"x" * (2 * MB))) as server:
            task = asyncio.create_task(
                guarded().download(server.url, target, 9 * MB, MUCH_LATER)
            )
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
    finish = downloads._finish

    def slowly(file, data) -> None:
        steps.append("begun")
        time.sleep(0.3)
        finish(file, data)  # raises ValueError, were the file closed
        steps.append("written")

    monkeypatch.setattr(downloads, "_finish", slowly)

    async def main() -> None:
        async with serving(says(ok(b"song"))) as server:
            task = asyncio.create_task(guarded().download(server.url, target, MB, 30))
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

    monkeypatch.setattr(downloads, "_finish", full)
    bad(says(ok(b"song")), target, OSError, "no space left")


@pytest.mark.parametrize(("disposition", "path", "name"), [
    ("", "/a/b.mp3", "b.mp3"),
    ("", "/a/b.mp3?x=/c.wav", "b.mp3"),
    ("", "/a%2F..%2Fb.mp3", "b.mp3"),
    ("", "/c%3A%5Cb.mp3", "b.mp3"),
    ("", "/b%00%0A%1B.mp3", "b.mp3"),
    ("", "/%E2%82%AC.mp3", "€.mp3"),
    ("", "/..", None), ("", "/a/%2e%2e", None), ("", "/a/.", None), ("", "/a/", None),
    ("", "/" + "a" * 300 + ".mp3", "a" * 251 + ".mp3"),
    ('attachment; filename="b c.wav"', "/x", "b c.wav"),
    ("attachment; FileName = b.wav; x=y", "/x", "b.wav"),
    ('attachment; filename="../../etc/b.wav"', "/x", "b.wav"),
    ('attachment; filename="..\\\\b.wav"', "/x.mp3", "x.mp3"),
    ("attachment; filename*=UTF-8''b.wav", "/x.mp3", "x.mp3"),
    ("attachment", "/x.mp3", "x.mp3"),
    ('attachment; filename=".."', "/x.mp3", None),
])  # fmt: skip
def test_a_name_is_only_a_name(disposition: str, path: str, name: str | None) -> None:
    assert downloads.file_name(disposition, path) == name


def test_names_come_from_the_end_of_the_way(target: Path) -> None:
    head = 'Content-Disposition: attachment; filename="gr\u00fc\u00dfe.mp3"\r\n'
    for coded in (head.encode(), head.encode("latin-1")):
        answer = OK.encode() + coded + b"Content-Length: 1\r\n\r\nx"
        assert down(says(answer), target).file_name == "grüße.mp3"
