"""The processes that decode strangers' files, as they run in a real server."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from server.work import landlock, seccomp
from tests.e2e.calling import Caller, new_key
from tests.harness import Server, serving, wait_for

pytestmark = pytest.mark.skipif(
    not (landlock.version() and seccomp.known()), reason="this kernel confines nobody"
)
DECODERS = ("audio", "probe", "measure")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that confines its decoders, or does not serve. Its caches are empty, as on the
    first start of all."""
    folder = tmp_path_factory.mktemp("strict")
    environ = {"NUMBA_CACHE_DIR": str(folder / "cache")}
    with serving(folder / "data", environ=environ, audio__confine="must",
                 limits__requests_per_minute=100_000) as running:
        yield running


def described(server: Server, job_id: str) -> bool:
    """Whether tempo and key have been looked for: with libraries that are compiled only then."""
    query = "SELECT state FROM stages WHERE job_id = ? AND name = 'describe'"
    ((state,),) = server.rows(query, [job_id])
    assert state != "failed"
    return state == "completed"


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_every_decoder_is_confined_and_says_so(strict: Server) -> None:
    workers = strict.get("/config").json()["workers"]
    assert {worker["pool"] for worker in workers} == {*DECODERS, "separation"}
    for worker in workers:
        kernel = status(strict.pid_of(worker["worker"]))
        if worker["pool"] in DECODERS:
            assert {"privileges", "files", "network", "processes"} <= set(worker["confined"])
            assert (kernel["NoNewPrivs"], kernel["Seccomp"]) == ("1", "2")
        else:
            assert worker["confined"] == [] == list(worker["not_confined"])
    log = strict.log.read_text()
    assert '"worker confined"' in log
    assert log.count('"event":"the log is a file') == 1, "as here: it may grow"
    lines = [line for line in log.splitlines() if '"worker not confined in all"' in line]
    assert lines and all('"level":"info"' in line for line in lines), "and workers add no alarm"


def test_a_song_goes_all_its_way_through_confined_workers(
    strict: Server, songs: dict[str, Path]
) -> None:
    """Every stage, what is compiled late included, a mix, a stem file, another pool's look."""
    for kind in ("mp3", "flac", "ogg", "wav"):
        job = strict.end_of(strict.post(songs[kind], f"song.{kind}").json()["job_id"])
        assert job["status"] == "completed", job
        assert len(job["outputs"]) == 9
    for kind in ("wav", "flac", "mp3"):
        mix = strict.get(f"/job/{job['job_id']}/mix", params={"mute": "drums", "format": kind})
        assert mix.status_code == 200, mix.text
    assert strict.get(f"/download/{job['job_id']}/stems.stem.m4a").status_code == 200
    caller = Caller(strict, new_key(strict, "ann"))
    for kind in ("FLAC", "MP3"):
        made = caller.create(uploadKey=caller.upload(songs["wav"]), outputType="SIX_STEMS",
                             outputFormat=kind).json()  # fmt: skip
        assert caller.end_of(made["id"])["status"] == "COMPLETED"
        wait_for(partial(described, strict, made["id"]))
    log = strict.log.read_text()
    assert "PermissionError" not in log and "Permission denied" not in log
    assert "Operation not permitted" not in log


def test_a_new_api_process_is_found_again(strict: Server, songs: dict[str, Path]) -> None:
    """By workers that can make no socket: the very ones that were there before."""
    workers = {w["worker"] for w in strict.get("/config").json()["workers"]}
    before = {name: strict.pid_of(name) for name in workers}
    os.kill(strict.api_pid(), 9)
    wait_for(strict.healthy)
    wait_for(lambda: len(strict.get("/config").json()["workers"]) == len(workers))
    assert {name: strict.pid_of(name) for name in workers} == before
    job = strict.end_of(strict.post(songs["wav"]).json()["job_id"])
    assert job["status"] == "completed"
