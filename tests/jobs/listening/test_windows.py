"""A window's files are let go of once, and never under the thread that reads them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.types import Message

from server.api.listening.windows import WindowResponse
from server.jobs.listening.listening import Window
from server.jobs.listening.track_places import OpenTrack


class SlowSound:
    """A track whose reading takes until `go`; closing it meanwhile would crash libsndfile."""

    frames = 1000

    def __init__(self, error: Exception | None = None) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.reading, self.error = False, error
        self.closed_while_reading: list[bool] = []

    def read(self, start: int, count: int) -> np.ndarray:
        self.reading = True
        self.began.set()
        assert self.go.wait(30)
        self.reading = False
        if self.error is not None:
            raise self.error
        return np.zeros((count, 2), np.float32)

    def close(self) -> None:
        self.closed_while_reading.append(self.reading)


async def has_begun(sound: SlowSound) -> None:
    assert await asyncio.to_thread(sound.began.wait, 30)


async def all_done(threads: ThreadPoolExecutor) -> None:
    """What the threads were asked, and what the loop makes of it."""
    await asyncio.get_running_loop().run_in_executor(threads, lambda: None)
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("error", [None, EOFError("the file ended early")])
def test_a_reader_that_gives_up_closes_nothing_under_its_thread(error: Exception | None) -> None:
    sound, closed = SlowSound(error), []

    async def main() -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        with ThreadPoolExecutor(1) as threads:
            window = Window([OpenTrack(sound, True)], 0, 1000, 1000, threads,
                            lambda: closed.append(True))  # fmt: skip
            reader = asyncio.create_task(window.read(0, 10, "f32"))
            await has_begun(sound)
            reader.cancel()
            await asyncio.wait([reader])
            window.close()
            window.close()
            assert (sound.closed_while_reading, closed) == ([], []), "it is open, and counts"
            sound.go.set()
            await all_done(threads)
        assert (sound.closed_while_reading, closed) == ([False], [True])
        assert unheard == []

    asyncio.run(main())


def test_a_client_that_hangs_up_closes_nothing_under_its_thread() -> None:
    sound, closed = SlowSound(), []

    async def main() -> None:
        async def receive() -> Message:
            await has_begun(sound)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            """Nobody listens."""

        with ThreadPoolExecutor(1) as threads:
            window = Window([OpenTrack(sound, True)], 0, 1000, 1000, threads,
                            lambda: closed.append(True))  # fmt: skip
            answer = WindowResponse(window, ["a"], "f32", False)
            scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
            await answer(scope, receive, send)
            assert (sound.closed_while_reading, closed) == ([], [])
            sound.go.set()
            await all_done(threads)
        assert (sound.closed_while_reading, closed) == ([False], [True])

    asyncio.run(main())
