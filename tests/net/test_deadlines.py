"""Sources that are slow, silent or without end in time."""

import asyncio
import time
from pathlib import Path

import pytest

from server.errors import Unreachable
from server.net.downloads import CHUNK, Sink
from tests.net.downloading import OK, bad
from tests.net.downloading import target as target
from tests.net.places import (
    MUCH_LATER,
    Behave,
    Call,
    WarpedLoop,
    drips,
    fetch,
    guarded,
    ok,
    says,
    serving,
)

SLOW: dict[str, Behave] = {
    "body": drips(f"{OK}Content-Length: 100000\r\n\r\n".encode()),
    "head": drips(b"HTTP/1.1 200 OK\r\nA: "),
    "no length": drips(f"{OK}\r\n".encode()),
    "redirect": drips(b"HTTP/1.1 302 Found\r\nLocation: /"),
}


@pytest.mark.parametrize("slow", SLOW)
def test_a_byte_at_a_time_is_cut_at_the_deadline(target: Path, slow: str) -> None:
    began = time.monotonic()
    bad(SLOW[slow], target, Unreachable, r"within 0\.3 seconds", total_s=0.3)
    assert time.monotonic() - began < MUCH_LATER


@pytest.mark.parametrize("head", ["", OK, f"{OK}\r\n", f"{OK}Content-Length: 9\r\n\r\nsong"])
def test_silence_is_cut(target: Path, head: str) -> None:
    async def behave(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        await writer.drain()
        await asyncio.sleep(MUCH_LATER * 2)

    began = time.monotonic()
    bad(behave, target, Unreachable, r"silent for 0\.3 seconds", silent_s=0.3)
    assert time.monotonic() - began < MUCH_LATER


@pytest.mark.parametrize("slow", ["head", "redirect"])
def test_half_a_head_is_silence(target: Path, slow: str) -> None:
    bad(SLOW[slow], target, Unreachable, "silent", silent_s=0.3)


def test_a_source_that_goes_on_may_take_longer_than_its_silences(target: Path) -> None:
    """Three redirects and eight pieces, each 20 seconds after the one before."""

    async def later(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpedLoop)
        await asyncio.sleep(0.05)  # lets the client take what came before
        for _ in range(20):
            await asyncio.sleep(0)
        loop.skew += seconds

    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        step = int(call.line.split()[1].strip("/") or 0)
        await later(20)
        if step < 3:
            head = f"HTTP/1.1 302 Found\r\nLocation: /{step + 1}\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            return
        writer.write(f"{OK}Content-Length: 8\r\n\r\n".encode())
        for _ in range(8):
            await later(20)
            writer.write(b"x")

    async def main(total_s: float) -> int:
        async with serving(behave) as server:
            limits = {"silent_s": 30.0, "total_s": total_s}
            return (await fetch(guarded(), server.url, target, **limits)).size_bytes

    with asyncio.Runner(loop_factory=WarpedLoop) as runner:
        assert runner.run(main(1800)) == 8
        with pytest.raises(Unreachable, match="within 150 seconds"):
            runner.run(main(150))


def test_the_deadline_holds_over_all_redirects_together(target: Path) -> None:
    async def behave(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    bad(behave, target, Unreachable, "within", total_s=0.5)  # eleven would take longer


def test_a_disk_of_ours_that_is_slow_is_no_silence_of_the_source(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, size = Sink.write, 4 * CHUNK

    def slow(self: Sink, data: bytes) -> None:
        time.sleep(0.6)
        write(self, data)

    async def main() -> int:
        async with serving(says(ok(bytes(size)))) as server:
            limits = {"silent_s": 0.3, "max_bytes": size}
            return (await fetch(guarded(), server.url, target, **limits)).size_bytes

    monkeypatch.setattr(Sink, "write", slow)
    assert asyncio.run(main()) == size
