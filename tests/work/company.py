"""Workers in threads and processes, and the API process's side of them."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from server import errors
from server.work.channel import Channel, ChannelClosed
from server.work.messages import Hello, Options, Result, Task
from server.work.scheduler import StepScheduler
from server.work.steps import Steps
from server.work.workers import Workers

OPTIONS = Options(
    file_name="a.wav",
    model="m",
    overlap=0.25,
    wav_format="PCM_16",
    target_lufs=-14,
    true_peak_dbtp=-1,
    max_seconds=60,
)


def task(name: str, due: float = 0.0, scratch: Path | str = "") -> Task:
    return Task(
        id=name,
        job="job",
        stage="test",
        due=due,
        source="",
        scratch=str(scratch),
        outputs="",
        options=OPTIONS,
    )


def work(job: Task) -> Steps[Result]:
    match job.id:
        case "bad":
            raise errors.UnsupportedFormat("Unsupported audio format: .x")
        case "long":
            raise errors.AudioTooLong("too long")
        case "defect":
            raise ZeroDivisionError("x")
        case "forever":
            while True:
                yield 0.5
                time.sleep(0.01)
        case "clean":
            try:
                while True:
                    yield 0.5
                    time.sleep(0.01)
            finally:
                Path(job.scratch, job.id).touch()
        case "bad end":
            try:
                while True:
                    yield 0.5
                    time.sleep(0.01)
            finally:
                raise ZeroDivisionError("x")
    yield 0.5
    return Result(job.id, facts={"echo": job.id})


def pretend(path: Path, slots: int = 1) -> threading.Thread:
    """A worker in a thread of this process."""

    def live() -> None:
        channel = Channel(path)
        channel.listen()
        channel.accept()
        channel.greet(Hello("test", path.stem, 0, "cpu", slots, in_turns=True))
        try:
            StepScheduler(channel, work, lambda *_: None).serve()
        except ChannelClosed:
            channel.close()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    return thread


def in_company(main: Callable, stall: float = 60.0, pretended: int = 1, slots: int = 1) -> None:
    """Runs `main(workers, path)` with pretended workers, and calling one more at `path`."""

    async def body(path: Path) -> None:
        workers = Workers(stall)
        places = [path.with_name(f"test-{number}.sock") for number in range(pretended)]
        async with workers.called([*places, path]):
            threads = [pretend(place, slots) for place in places]
            while len(workers.of("test")) < pretended:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(main(workers, path), 60)
        for thread in threads:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive(), "a worker must notice that the API process is gone"

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(body(Path(folder) / "victim-0.sock"))


LONELY = """
import sys, os, time
from pathlib import Path
from server.work.channel import Channel
from server.work.messages import Hello, Started
channel = Channel(Path(sys.argv[1]))
channel.listen()
channel.accept()
channel.greet(Hello("victim", "victim-0", os.getpid(), "cpu", 2, in_turns=sys.argv[3] == "True"))
first = channel.receive()
if sys.argv[2] == "busy":
    channel.send(Started(first.id))
    time.sleep(1)
    os.kill(os.getpid(), 9)
if sys.argv[2] == "die":
    for begun in (first, channel.receive()):
        channel.send(Started(begun.id))
    os.kill(os.getpid(), 9)
if sys.argv[2] == "die at once":
    time.sleep(1)
    os.kill(os.getpid(), 9)
time.sleep(600)
"""


def victim(path: Path, what: str, in_turns: bool = False) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", LONELY, str(path), what, str(in_turns)])
