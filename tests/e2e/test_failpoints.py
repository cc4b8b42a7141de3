"""J2: a server that is killed at every seam loses nothing that it has answered for.

Each failpoint kills once, in the middle of real songs that go through both APIs; at the end every
job that the database knows has ended well, its tracks are a fault-free run's, and every rule holds.
"""

import itertools
import os
import random
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import write_song
from tests.e2e.test_stemsplit import Caller, new_key
from tests.faults.failpoints import Failpoints
from tests.harness import Server, wait_for
from tests.receiver import Receiver, receiving
from tests.store.invariants import findings

# The seams of a job's way, and where a kill there happens.
SEAMS = {
    "upload": ["replace uploads before", "commit _receive before", "commit _receive after"],
    "acceptance": ["link spool/input after", "rename scratch after", "ledger insert hold",
                   "commit _create before", "commit _create after"],
    "claim": ["stages update processing", "commit _claim after"],
    "decode": ["replace scratch/mix.f32 before", "replace scratch/mix.f32 after"],
    "output rename": ["replace outputs/demucs_output/vocals.wav before",
                      "replace outputs/vocals.mp3 after"],
    "a worker's answer": ["result before"],
    "state commit": ["jobs update completed", "commit _finish before", "commit _finish after"],
    "ledger": ["ledger insert capture"],
    "outbox": ["deliveries insert waiting", "webhook posted", "deliveries update delivered"],
    "clearing away": ["remove scratch before"],
}  # fmt: skip
ROUNDS = 12  # songs by each API, after which every failpoint must have been come by


class Seams:
    """A server that dies, and a client that tries again."""

    def __init__(
        self, folder: Path, receiver: Receiver, song: Path, planted: str, attempts: int
    ) -> None:
        faults = folder / "faults"
        faults.mkdir()
        (faults / "planted").write_text(planted)
        self.failpoints = Failpoints(faults)
        self.failpoints.kill_at([])
        paths = filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])
        self.server = Server(
            folder / "data", (sys.executable, "-m", "tests.faults.stembox"),
            {"FAULTS": str(faults), "PYTHONPATH": os.pathsep.join(paths)},
            limits__requests_per_minute=100_000, limits__min_audio_seconds=0,
            jobs__max_attempts=attempts, fetch__allow_networks="127.0.0.0/8",
        )  # fmt: skip
        self.receiver, self.song = receiver, song
        self.accepted: set[str] = set()

    def start(self) -> None:
        self.server.start()
        self.caller = Caller(self.server, new_key(self.server, "ann"))
        assert self.caller.http.post("/webhooks", json={"url": self.receiver.url}).is_success

    def again(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer of a server that may die before it gives one."""
        def answer() -> httpx.Response | None:
            if self.server.process.poll() is not None:
                self.server.start(ready=False)
            with suppress(httpx.TransportError):
                found = request()
                return found if found.status_code != 503 else None
            return None

        found: httpx.Response = wait_for(answer)
        return found

    def round(self) -> None:
        """A song by each API, and their ends."""
        ticket = self.again(
            lambda: self.caller.http.post("/upload", json={"filename": "a.wav"})).json()
        data = self.song.read_bytes()
        put = self.again(lambda: httpx.put(ticket["uploadUrl"], content=data, timeout=60))
        assert put.status_code == 200, put.text
        body = {"uploadKey": ticket["uploadKey"], "outputType": "BOTH", "quality": "FAST"}
        once = {"Idempotency-Key": ticket["uploadKey"]}
        split = self.again(lambda: self.caller.http.post("/jobs", json=body, headers=once)).json()
        plain = self.again(lambda: self.server.post(self.song)).json()
        self.accepted |= {split["id"], plain["job_id"]}
        self.end()

    def end(self) -> None:
        """Every job that the database knows has ended, and everybody has been told."""
        wait_for(lambda: self.again(lambda: self.server.get("/health")).is_success
                 and not self.rows("SELECT id FROM jobs WHERE state = 'processing'"), 240)
        wait_for(lambda: self.again(lambda: self.server.get("/health")).is_success
                 and not self.rows("SELECT id FROM deliveries WHERE state = 'waiting'"), 240)

    def rows(self, statement: str) -> list[Any]:
        path = f"file:{self.server.data}/stembox.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute(statement).fetchall()

    def wrong(self) -> list[str]:
        """What is not as it must be, after all kills."""
        with closing(sqlite3.connect(f"file:{self.server.data}/stembox.db?mode=ro",
                                     uri=True)) as database:  # fmt: skip
            wrong = findings(database)
        jobs = dict(self.rows("SELECT id, state FROM jobs"))
        wrong += [f"lost: {job}" for job in self.accepted - set(jobs)]
        wrong += [f"{state}: {job}" for job, state in jobs.items() if state != "completed"]
        outputs = self.server.data / "outputs"
        folders = {path.name for path in outputs.iterdir()}
        wrong += [f"a folder of nobody's: {name}" for name in folders - set(jobs)]
        wrong += [f"left behind: {path}" for path in outputs.rglob("*.part")]
        contents: dict[str, set[bytes]] = {}
        for job in jobs:
            for file in (path for path in (outputs / job).rglob("*") if path.is_file()):
                name = str(file.relative_to(outputs / job))
                contents.setdefault(name, set()).add(file.read_bytes())
        wrong += [f"not always the same: {name}" for name, found in contents.items()
                  if len(found) > 1]
        told = {(got.headers["X-Webhook-Id"],) for got in self.receiver.got}
        wrong += [f"not told: {row}" for row in self.rows("SELECT id FROM deliveries")
                  if row not in told]
        return wrong

    def nothing_left(self) -> bool:
        places = (self.server.data / name for name in ("scratch", "spool"))
        return not [path for place in places for path in place.iterdir()]


def kill_at(seams: Seams, names: Iterable[str], group: bool = False) -> None:
    """Songs, until every one of these failpoints has killed."""
    wanted = set(names)
    seams.failpoints.kill_at(map(re.escape, wanted), group)
    for _ in range(ROUNDS):
        seams.round()
        if wanted <= seams.failpoints.died():
            break
    seams.failpoints.kill_at([])
    assert wanted <= seams.failpoints.died(), wanted - seams.failpoints.died()


@contextmanager
def mortal(folder: Path, planted: str = "", attempts: int = 50) -> Iterator[Seams]:
    """A server that can be killed at its seams, and nothing of it left afterwards."""
    song = write_song(folder / "a.wav", 2)
    with receiving() as receiver:
        seams = Seams(folder, receiver, song, planted, attempts)
        try:
            seams.start()
            yield seams
        finally:
            seams.server.kill()


@pytest.mark.timeout(900)
def test_a_kill_at_every_seam_loses_nothing(tmp_path: Path) -> None:
    with mortal(tmp_path) as seams:
        kill_at(seams, [name for names in SEAMS.values() for name in names])
        seams.round()  # without a fault: what all others are held against
        assert seams.wrong() == []
        wait_for(seams.nothing_left)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("bug", "seam", "sentence"), [
    ("row-before-files", "commit _create after", "failed: "),
    ("credits-apart", "ledger insert capture", "a hold that is not settled"),
])  # fmt: skip
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, seam: str, sentence: str) -> None:
    assert seam in itertools.chain(*SEAMS.values())
    with mortal(tmp_path, bug, attempts=2) as seams:
        kill_at(seams, [seam])
        assert any(found.startswith(sentence) for found in seams.wrong())


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("group", [False, True], ids=["one process", "all processes"])
def test_a_kill_at_every_failpoint_there_is(tmp_path: Path, group: bool) -> None:
    """A few at a time: a song that goes down with the whole server too often is given up."""
    with mortal(tmp_path) as seams:
        seams.failpoints.forget()
        seams.round()
        names = sorted(seams.failpoints.seen())
        assert len(names) > 60 and set(itertools.chain(*SEAMS.values())) <= set(names)
        random.Random(5).shuffle(names)
        for first in range(0, len(names), 5):
            kill_at(seams, names[first : first + 5], group)
            assert seams.wrong() == [], names[first : first + 5]
        seams.round()
        assert seams.wrong() == []
        wait_for(seams.nothing_left)
