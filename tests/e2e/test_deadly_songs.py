"""J4: a song that crashes every worker it meets fails after its attempts; those that shared its
worker and its batch complete, with the tracks of a fault-free run, and are charged no attempt."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import write_song
from tests.e2e.mortal import GIVEN_UP, Mortal, mortal
from tests.harness import Server, wait_for

ATTEMPTS = 3
TOGETHER = 3  # songs that a worker has in hand when it begins, a deadly one among them


def tracks(server: Server, job: str) -> dict[str, bytes]:
    return {name: Path(path).read_bytes() for name, path in server.job(job)["outputs"].items()}


def pause_separation(mortals: Mortal) -> int:
    """Stops the worker, so that songs come to it together: its process id."""
    server = mortals.server
    wait_for(lambda: server.in_hand("separation-0") == 0)
    pid = server.pid_of("separation-0")
    os.kill(pid, signal.SIGSTOP)
    return pid


def deaths(folder: Path, mates: int, stages: tuple[str, ...]) -> None:
    with mortal(folder, "deadly-songs", jobs__max_attempts=ATTEMPTS, audio__workers=1,
                jobs__stall_seconds=600, separation__max_batch=4) as mortals:  # fmt: skip
        server, song = mortals.server, write_song(folder / "mate.wav", 7).read_bytes()
        paused = pause_separation(mortals)
        jobs = {"mate": [], "deadly": []}  # type: dict[str, list[str]]
        for number in range(mates):
            jobs["mate"].append(server.post(song, f"mate {number}.wav").json()["job_id"])
            if number < len(stages):
                name = f"deadly {stages[number]} {number}.wav"
                jobs["deadly"].append(server.post(song, name).json()["job_id"])
        wait_for(lambda: server.in_hand("separation-0") >= TOGETHER)
        os.kill(paused, signal.SIGCONT)
        for job in jobs["deadly"]:
            end = server.end_of(job)
            errors = [stage["error"] for stage in end["stages"] if stage["status"] == "failed"]
            assert end["status"] == "failed" and GIVEN_UP in errors[0]
        assert {server.end_of(job)["status"] for job in jobs["mate"]} == {"completed"}
        attempts = dict(mortals.rows(
            "SELECT job_id, max(attempt) FROM stages WHERE NOT late GROUP BY job_id"))
        assert {attempts[job] for job in jobs["mate"]} == {1}
        assert {attempts[job] for job in jobs["deadly"]} == {ATTEMPTS}
        assert "worker died under several songs" in server.log.read_text()
        alone = server.end_of(server.post(song, "alone.wav").json()["job_id"])["job_id"]
        for job in jobs["mate"]:
            assert tracks(server, job) == tracks(server, alone)


@pytest.mark.timeout(600)
def test_mates_of_deadly_songs_complete(tmp_path: Path) -> None:
    deaths(tmp_path, mates=3, stages=("separate", "decode"))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_many_mates_of_many_deadly_songs(tmp_path: Path) -> None:
    deaths(tmp_path, mates=16, stages=("separate", "decode", "separate", "harmonic_percussive",
                                       "separate", "encode_stems"))  # fmt: skip
