"""One download from a source that answers as a test says."""

import asyncio
from pathlib import Path

import pytest

from server.net import Downloaded
from tests.net.places import Behave, Call, fetch, guarded, ok, serving

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
