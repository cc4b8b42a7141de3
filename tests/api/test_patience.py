"""How long the body of an upload is waited for, by a clock that goes as the test says."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from server.api.answers import UploadStalled
from server.api.files import uploads
from tests.net.places import WarpedLoop


def body_at(pace: list[tuple[float, int]], between_s: float = 0.0) -> int:
    """Bytes taken from a client whose pieces come after (seconds, of size), by a slow consumer."""

    async def read() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpedLoop)
        pieces = iter(pace)

        async def receive() -> Message:
            seconds, size = next(pieces, (0.0, -1))
            if size < 0:
                return {"type": "http.request", "body": b"", "more_body": False}
            loop.skew += seconds
            for _ in range(4):  # lets the loop see its timers
                await asyncio.sleep(0)
            return {"type": "http.request", "body": bytes(size), "more_body": True}

        total = 0
        async for piece in uploads._body(receive):
            loop.skew += between_s
            total += len(piece)
        return total

    with asyncio.Runner(loop_factory=WarpedLoop) as runner:
        return runner.run(read())


def test_patience_is_for_honest_clients_only() -> None:
    assert body_at([(9, 36 << 10)] * 100) == 3600 << 10  # slow, but it comes
    assert body_at([(29, 100)]) == 100
    assert body_at([(1, 1 << 10)] * 20, between_s=1000) == 20 << 10  # our disk is slow
    assert body_at([(1, 120 << 10), *[(9, 6 << 10)] * 4]) == 144 << 10  # it was fast before
    for pace in ([(31.0, 100)], [(1.0, 1)] * 40, [(29.0, 20 << 10), (31.0, 1)],
                 [(9.0, 6 << 10)] * 100, [(1.0, 1000)] * 100):
        with pytest.raises(UploadStalled):
            body_at(pace)


def test_a_disconnect_ends_the_body() -> None:
    async def read() -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async for _ in uploads._body(receive):
            pass

    with pytest.raises(ClientDisconnect):
        asyncio.run(read())
