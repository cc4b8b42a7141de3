"""A2: a decoder that really crashes (a null pointer, an abort) fails its own song alone.

Songs that were with the same workers then are answered, complete, and are charged no attempt."""

import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, wait_for

CRASHING = (sys.executable, "-m", "tests.promises.crashing")
EXITS = {"segv": -11, "abort": -6}
STAGES = ("probe", "measure", "decode")
NOBODY = "No probe worker is ready"  # for a moment, after each death
MATES = 3  # of each crashing file


def crashes(folder: Path, signals: dict[str, str], mates: int) -> None:
    song = write_song(folder / "song.flac", 4).read_bytes()
    # Two deaths of each pool: what is told of a pool that keeps dying is another test's.
    server = Server(folder / "data", stembox=CRASHING, jobs__max_attempts=2, audio__workers=1,
                    limits__requests_per_minute=100_000,
                    environ={"PYTHONPATH": os.getcwd()})  # fmt: skip
    server.start()
    try:
        caller = Caller(server, new_key(server, "ann"))

        def post(name: str) -> httpx.Response:
            return server.post(song, name)

        def split(name: str) -> httpx.Response:
            return caller.create(uploadKey=caller.upload(song, name), outputType="VOCALS",
                                 quality="FAST", fileName=name)  # fmt: skip

        decoded = post(f"crash decode {signals['decode']} .flac")
        with ThreadPoolExecutor(3 * mates) as pool:
            probed = pool.submit(post, f"crash probe {signals['probe']} .flac")
            measured = pool.submit(split, f"crash measure {signals['measure']} .flac")
            posts = list(pool.map(post, [f"mate {n}.flac" for n in range(mates)]))
            splits = list(pool.map(split, [f"mate {n}.flac" for n in range(mates)]))
        assert decoded.status_code == 200
        assert probed.result().status_code == measured.result().status_code == 400
        sentence = "The file cannot be read: the decoder failed on it"
        assert probed.result().json() == {"detail": sentence}
        assert measured.result().json()["error"] == {
            "code": "UNSUPPORTED_FORMAT", "message": sentence}
        assert {answer.status_code for answer in posts} == {200}, "mates are answered"
        assert {answer.status_code for answer in splits} == {201}
        failed = server.end_of(decoded.json()["job_id"])
        assert failed["status"] == "failed"
        assert "given up" in failed["stages"][0]["error"]
        jobs = [answer.json()["job_id"] for answer in posts]
        assert {server.end_of(job)["status"] for job in jobs} == {"completed"}
        theirs = [answer.json()["id"] for answer in splits]
        assert {caller.end_of(job)["status"] for job in theirs} == {"COMPLETED"}
        with closing(sqlite3.connect(f"file:{server.data}/stembox.db?mode=ro", uri=True)) as db:
            attempts = dict(db.execute("SELECT job_id, max(attempt) FROM stages GROUP BY job_id"))
        assert {attempts[job] for job in (*jobs, *theirs)} == {1}, "mates are charged nothing"
        log = server.log.read_text()
        for stage, pool_name in zip(STAGES, ("probe", "measure", "audio"), strict=True):
            deaths = [line for line in log.splitlines() if '"process died' in line
                      and f'"{pool_name}-' in line and f"{EXITS[signals[stage]]}," in line]
            assert len(deaths) == 2, f"the {pool_name} pool's worker really crashed"
        wait_for(lambda: len(server.get("/config").json()["workers"]) == 5)
        alone = server.end_of(post("alone.flac").json()["job_id"])["outputs"]
        for job in jobs:
            for name, path in server.job(job)["outputs"].items():
                assert Path(path).read_bytes() == Path(alone[name]).read_bytes()
        for kind in ("scratch", "spool"):
            wait_for(lambda kind=kind: not list((server.data / kind).iterdir()))
        assert not list(Path.cwd().glob("core*"))
    finally:
        server.kill()


@pytest.mark.timeout(600)
def test_a_file_that_kills_again_and_again_closes_no_pool(tmp_path: Path) -> None:
    """Its sender tries again, and others go on; but workers that die over one file after the other
    rest for a while."""
    song = write_song(tmp_path / "song.flac", 2).read_bytes()
    server = Server(tmp_path / "data", stembox=CRASHING, environ={"PYTHONPATH": os.getcwd()})
    server.start()
    try:
        for _ in range(2):  # each look is tried twice
            assert server.post(song, "crash probe segv .flac").status_code == 400
        wait_for(lambda: server.log.read_text().count('"process died') == 4)
        assert server.get("/health/ready").json()["problems"] in ([], [NOBODY])
        job = server.post(song, "mate.flac")
        assert server.end_of(job.json()["job_id"])["status"] == "completed"
        answers = [server.post(song + bytes([n]), "crash probe segv .flac") for n in range(3)]
        assert answers[0].status_code == 400  # the second one's first death is the third work's
        refused = wait_for(lambda: (last := server.post(song)).status_code == 503 and last)
        assert refused.json() == {"detail": "The probe workers keep dying; others start soon"}
    finally:
        server.kill()


@pytest.mark.timeout(600)
def test_a_decoder_that_crashes_fails_its_own_song_alone(tmp_path: Path) -> None:
    crashes(tmp_path, {"probe": "segv", "measure": "abort", "decode": "segv"}, MATES)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("probe", EXITS)
@pytest.mark.parametrize("measure", EXITS)
@pytest.mark.parametrize("decode", EXITS)
def test_every_crash_at_every_stage(tmp_path: Path, probe: str, measure: str, decode: str) -> None:
    crashes(tmp_path, {"probe": probe, "measure": measure, "decode": decode}, 8)
