"""What a worker is known to be at, while it works and after it has died."""

import asyncio
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import structs

from server.errors import WorkerLost
from server.work.current_work import LONGEST, CurrentWork, marks
from server.work.messages import Task
from server.work.workers import Workers
from tests.work.company import task

SONG = bytes(range(256)) * 4 * (LONGEST // 1024) + b"the end"


class Told:
    """The last of what was said."""

    marks: frozenset[int] = frozenset()

    def __call__(self, marks: Iterable[int]) -> None:
        self.marks = frozenset(marks)


def job(name: str, due: float = 0.0) -> Task:
    return structs.replace(task(name, due), job=name)


def of(*names: str) -> frozenset[int]:
    return frozenset(mark for name in names for mark in marks(job(name)))


def test_all_that_run_together_or_the_one_whose_turn_it_is() -> None:
    together, in_turns = Told(), Told()
    for told, turns in ((together, False), (in_turns, True)):
        hand = CurrentWork(told, turns)
        for name, due in (("a", 2.0), ("b", 1.0), ("c", 3.0)):
            hand.take(job(name, due))
        assert told.marks == (of("b") if turns else of("a", "b", "c"))
        hand.drop("b")
        assert told.marks == (of("a") if turns else of("a", "c"))
        hand.drop("b"), hand.drop("a"), hand.drop("c")
        assert told.marks == frozenset()


@pytest.mark.parametrize("place", [0, -1])
def test_files_that_differ_where_songs_do(tmp_path: Path, place: int) -> None:
    other = bytearray(SONG)
    other[place] ^= 1
    found = []
    for name, data in (("a", SONG), ("b", other)):
        (tmp_path / name).write_bytes(data)
        found += marks(structs.replace(job(name), source=str(tmp_path / name)))
    assert len(set(found)) == 4


@pytest.mark.parametrize("data", [SONG, b"short", b""])
def test_a_file_is_the_same_under_another_name_and_in_another_job(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data)
    first = structs.replace(job("a"), source=str(tmp_path / "a"))
    second = structs.replace(job("b"), source=str(tmp_path / "b"))
    assert len(set(marks(first)) & set(marks(second))) == 1
    (tmp_path / "b").write_bytes(data + b".")
    assert not set(marks(first)) & set(marks(second))
    (tmp_path / "a").unlink()
    assert marks(first) == marks(job("a")), "of a file that has gone its job is left"


DYING = """
import os, sys
from pathlib import Path
from server.work.channel import Channel
from server.work.messages import Hello, Result
board = open(sys.argv[2], "w")
def note(marks):
    board.seek(0); board.truncate(); board.write(" ".join(map(str, marks))); board.flush()
channel = Channel(Path(sys.argv[1]), note)
channel.listen()
channel.accept()
channel.greet(Hello("victim", "victim-0", os.getpid(), "cpu", 2, in_turns=True))
first = channel.receive()
channel.send(Result(first.id))
channel.receive()
os.kill(os.getpid(), 9)
"""


def test_a_worker_that_dies_leaves_word_of_what_it_was_at(tmp_path: Path) -> None:
    """What it has answered for is not held against it; what it had begun is."""
    path, word = tmp_path / "victim-0.sock", tmp_path / "word"
    process = subprocess.Popen([sys.executable, "-c", DYING, str(path), str(word)])

    async def main() -> None:
        workers = Workers(60)
        async with workers.called([path]):
            slot = await workers.reserve("victim")
            await slot.run(job("a"))
            slot = await workers.reserve("victim")
            with pytest.raises(WorkerLost):
                await slot.run(job("b"))

    asyncio.run(main())
    process.wait()
    assert frozenset(map(int, word.read_text().split())) == of("b")
