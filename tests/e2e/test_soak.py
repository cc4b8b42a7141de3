"""C2: work without end through both APIs leaves memory, file handles, threads and disk flat.

The short run is part of every test run; `make chaos` soaks for an hour. What has been asked for is
removed again by its clients, so nothing may be left of it; rows that stay by design are counted.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.mortal import Mortal, mortal
from tests.e2e.soaking import ALLOWED, MEGABYTE, Soak
from tests.harness import wait_for

LEAST_ROUNDS = 9
# Until each audio worker has done each stage, and the separation's allocator, which keeps what it
# has, has seen batches of each size: after some hundred songs.
WARM_SECONDS = 1000.0
WARMING = {"audio": 80 * MEGABYTE, "separation": 600 * MEGABYTE}
ROW_BYTES = 40_000  # of the database, for each round's jobs; their history stays for months


class Client:
    """Somebody who does all that can be done with a song, and cleans up."""

    def __init__(self, mortals: Mortal) -> None:
        self.server, self.caller, self.mortals = mortals.server, mortals.caller, mortals
        self.song = mortals.song.read_bytes()
        self.done: list[str] = []

    def get(self, path: str) -> bytes:
        answer = self.server.get(path)
        assert answer.is_success, (path, answer.text)
        return answer.content

    def pipeline(self) -> None:
        job = self.server.post(self.song).json()["job_id"]
        events = self.get(f"/job/{job}/events")
        assert b"id: end" in events
        assert self.server.end_of(job)["status"] == "completed"
        for path in (f"/job/{job}/window?start=0&end=1&tracks=vocals,drums", f"/job/{job}/peaks",
                     f"/job/{job}/mix?mute=drums&format=mp3", f"/download/{job}/all",
                     f"/download/{job}/stems.stem.m4a"):  # fmt: skip
            self.get(path)
        assert httpx.delete(f"{self.server.url}/job/{job}", timeout=60).is_success

    def cancelled(self) -> None:
        job = self.server.post(self.song).json()["job_id"]
        assert httpx.delete(f"{self.server.url}/job/{job}", timeout=60).is_success

    def refused(self) -> None:
        assert self.server.post(b"no song at all" * 1000).status_code == 400
        assert self.server.get("/job/nobody's").status_code == 404
        with suppress(httpx.TransportError):
            httpx.get(f"{self.server.url}/health", timeout=1e-4)

    def stemsplit(self) -> None:
        key = self.caller.upload(self.song)
        jobs = [self.caller.create(uploadKey=key, outputType=kind, quality="FAST").json()["id"]
                for kind in ("BOTH", "FOUR_STEMS")]  # fmt: skip
        for job in jobs:
            end = self.caller.end_of(job)
            assert end["status"] == "COMPLETED", end
            for output in end["outputs"].values():
                assert httpx.get(output["url"], timeout=60).is_success
        for path in ("/jobs", "/ledger", "/deliveries", "/balance"):
            assert self.caller.http.get(path).is_success, path
        for job in jobs:
            assert self.caller.http.delete(f"/jobs/{job}").is_success

    def round(self) -> None:
        for what in (self.pipeline, self.cancelled, self.refused, self.stemsplit):
            what()
        self.mortals.end()
        wait_for(self.mortals.nothing_left)


def soak(mortals: Mortal, seconds: float) -> Soak:
    """Rounds for so long, and a look at everything after each."""
    server, client, found = mortals.server, Client(mortals), Soak()
    names = [worker["worker"] for worker in server.get("/config").json()["workers"]]
    workers = {name: server.pid_of(name) for name in names}
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end or rounds < LEAST_ROUNDS:
        client.round()
        rounds += 1
        found.note_process("supervisor", server.process.pid)
        found.note_process("api", server.api_pid())
        for name, pid in workers.items():
            found.note_process(name, pid)
        for folder in ("outputs", "scratch", "spool"):
            found.note_folder(folder, server.data / folder)
        rows = (server.data / "stembox.db").stat().st_size
        found.note("database", disk=rows - rounds * ROW_BYTES)
    assert '"process died' not in server.log.read_text()
    print(f"{rounds} rounds\n{found}")
    return found


def soaked(folder: Path, seconds: float, planted: str | None = None) -> list[str]:
    """What grows in that time."""
    with mortal(folder, planted) as mortals:
        return soak(mortals, seconds).growing({} if seconds > WARM_SECONDS else WARMING)


@pytest.mark.timeout(600)
def test_some_rounds_of_everything_leave_it_flat(tmp_path: Path) -> None:
    assert soaked(tmp_path, 20) == []


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_an_hour_of_everything_leaves_it_flat(tmp_path: Path) -> None:
    assert soaked(tmp_path, 3600) == []


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_server_that_leaks_is_found(tmp_path: Path) -> None:
    """The planted bug: every job that ends leaves a file open, a thread, and two megabytes."""
    found = soaked(tmp_path, 120, "leaks")
    for name in ("api memory", "api handles", "api threads"):
        assert any(sentence.startswith(f"{name} grows") for sentence in found), (name, found)


LEAKING = """
import sys, threading
leak, held = sys.argv[1], []
for _ in sys.stdin:
    if leak == "memory":
        held.append(bytearray(b"x" * (1 << 20)))
    elif leak == "handles":
        held.append(open("/dev/null"))
    elif leak == "threads":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print(flush=True)
"""


@pytest.mark.parametrize("leak", ["memory", "handles", "threads", "nothing"])
def test_a_process_that_leaks_is_found(leak: str) -> None:
    """A megabyte, a file or a thread in each of thirty rounds; and one that does not."""
    process = subprocess.Popen([sys.executable, "-c", LEAKING, leak], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdin and process.stdout
    found = Soak()
    for _ in range(30):
        process.stdin.write("on\n")
        process.stdin.flush()
        process.stdout.readline()
        found.note_process("it", process.pid)
    process.kill()
    process.wait()
    assert [sentence.split()[1] for sentence in found.growing()] == [leak][: leak != "nothing"]


def test_a_folder_that_fills_is_found(tmp_path: Path) -> None:
    found = Soak()
    for number in range(30):
        (tmp_path / str(number)).write_bytes(bytes(MEGABYTE // 2))
        found.note_folder("it", tmp_path)
    assert [sentence.split()[1] for sentence in found.growing()] == ["files", "disk"]


@pytest.mark.parametrize("name", ALLOWED)
def test_what_goes_up_and_down_or_warms_up_is_flat(name: str) -> None:
    chance = random.Random(1)

    def values() -> Iterator[float]:
        for number in range(60):
            yield min(number, 15) * 10 * ALLOWED[name] + chance.uniform(-5, 5) * ALLOWED[name] / 10

    flat, steep = Soak(), Soak()
    for number, value in enumerate(values()):
        flat.note("it", **{name: value})
        steep.note("it", **{name: value + number * ALLOWED[name] / 10})
    assert flat.growing() == [] and len(steep.growing()) == 1
