"""S3: a real file system that is full, for database, spool and outputs: a clear refusal, nothing
accepted is lost, and it works again when there is room."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, wait_for

MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size; the test is skipped where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "stembox-test", folder],
        capture_output=True, text=True, check=False)  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Takes all room but `leave` bytes, while others write too."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, suppress(OSError):
        while (room := shutil.disk_usage(disk).free - leave) > 0 or not leave:
            file.write(bytes(min(MEGABYTE, max(room, 1))))
    return ballast


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("small")
    with small_disk(folder / "disk", 96) as disk:
        # Compiled kernels and the log lie elsewhere: they are no part of what is tested.
        environ = {"NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]}
        server = Server(disk / "data", environ=environ, limits__requests_per_minute=100_000)
        server.log = folder / "server.log"
        server.start()
        try:
            yield server
        finally:
            server.kill()


def refused(answer: httpx.Response) -> bool:
    """Whether it says so, in its API's own words."""
    body = answer.json()
    sentence = body["detail"] if "detail" in body else body["error"]["message"]
    return answer.status_code in (503, 507) and "disk" in sentence


def test_a_full_disk_refuses_loses_nothing_and_recovers(box: Server, tmp_path: Path) -> None:
    """Bytes are refused. A row may still find room in the database's log: then it is kept."""
    song = write_song(tmp_path / "a.wav", 10)
    disk = box.data.parent
    caller = Caller(box, new_key(box, "ann"))
    key = caller.upload(song)
    requests: dict[str, Callable[[], httpx.Response]] = {
        "song": lambda: box.post(song),
        "ticket": lambda: caller.http.post("/upload", json={"filename": "a.wav"}),
        "PUT": lambda: httpx.put(url, content=song.read_bytes(), timeout=60),
        "webhook": lambda: caller.http.post("/webhooks", json={"url": "https://example.com"}),
        "job": lambda: caller.create(uploadKey=key, outputType="BOTH"),
    }
    url = requests["ticket"]().json()["uploadUrl"]
    ballast = fill(disk)
    answers = {name: request() for name, request in requests.items()}
    taken = {name for name, answer in answers.items() if answer.is_success}
    assert not taken & {"song", "PUT"}
    for name in set(answers) - taken:
        assert refused(answers[name]), (name, answers[name].text)
    assert not list((box.data / "spool").iterdir())
    ballast.unlink()
    jobs = [answers["job"].json()["id"]] if "job" in taken else []
    again = {name: request() for name, request in requests.items()}
    assert all(answer.is_success for answer in again.values())
    for job in (*jobs, again["job"].json()["id"]):
        end = caller.end_of(job)
        assert (end["status"], end["creditsCharged"]) == ("COMPLETED", 10)
    assert box.end_of(again["song"].json()["job_id"])["status"] == "completed"
    hooks = caller.http.get("/webhooks").json()
    assert len(hooks.get("webhooks", hooks)) == 1 + ("webhook" in taken)
    assert caller.balance() == 3600 - 10 * (1 + len(jobs)), "what was refused holds nothing"


def status(caller: Caller, job: str) -> str:
    found: str = caller.http.get(f"/jobs/{job}").json()["status"]
    return found


def test_a_disk_that_fills_while_files_are_written(box: Server, tmp_path: Path) -> None:
    """At each size of what is left another of a job's files has no room: the job waits, and costs
    no attempt."""
    song = write_song(tmp_path / "a.wav", 10)
    disk = box.data.parent
    caller = Caller(box, new_key(box, "bob"))
    key = caller.upload(song)
    for megabytes in (4, 9, 16):
        job = caller.create(uploadKey=key, outputType="BOTH").json()["id"]
        noticed = box.log.read_text().count("disk full")
        ballast = fill(disk, leave=megabytes * MEGABYTE)
        wait_for(lambda job=job, noticed=noticed: status(caller, job) == "COMPLETED"
                 or box.log.read_text().count("disk full") > noticed)  # fmt: skip
        ballast.unlink()
        assert caller.end_of(job)["status"] == "COMPLETED"
        assert caller.http.delete(f"/jobs/{job}").is_success
    assert "disk full" in box.log.read_text()
    assert box.rows("SELECT max(attempt) FROM stages") == [(1,)]
    assert not list((box.data / "outputs").rglob("*.part"))
