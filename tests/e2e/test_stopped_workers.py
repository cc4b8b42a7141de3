"""J3: a worker that stood still while its work was given to another, and then goes on, changes
nothing: no row, no byte of a track, no file left.

It stops right before what would count: a rename of a file, or its answer.
"""

import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.mortal import Mortal, mortal
from tests.harness import wait_for

WORKERS = 2  # for audio: one stands still, the other goes on
SEAMS = ["replace outputs/harmonic_percussive/harmonic.wav before", "result before"]
TABLES = ("jobs", "stages", "tracks", "ledger", "deliveries")


def state(server: Mortal) -> list[object]:
    """All that clients are told and can download."""
    rows: list[object] = [server.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]
    files = sorted((server.server.data / "outputs").rglob("*"))
    return rows + [(path, path.read_bytes()) for path in files if path.is_file()]


def stopped(server: Mortal) -> list[int]:
    return [process.pid for process in server.server.processes()
            if process.status() == psutil.STATUS_STOPPED]  # fmt: skip


def connected(server: Mortal) -> int:
    workers = server.again(lambda: server.server.get("/config")).json()["workers"]
    return len(workers)


def stop_and_continue(server: Mortal, seams: list[str]) -> None:
    everybody = connected(server)
    for name in seams:
        server.failpoints.kill_at([re.escape(name)], how="stop")
        server.plain()
        (pid,) = wait_for(lambda: stopped(server))
        os.kill(server.server.api_pid(), signal.SIGKILL)  # the next takes every lease back
        server.end()
        before = state(server)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: connected(server) == everybody)
        assert state(server) == before, name
    server.failpoints.kill_at([])
    server.round()
    assert server.wrong() == []
    wait_for(server.nothing_left)


@pytest.mark.timeout(600)
def test_a_worker_that_goes_on_too_late_changes_nothing(tmp_path: Path) -> None:
    with mortal(tmp_path, "", audio__workers=WORKERS, jobs__stall_seconds=600) as server:
        stop_and_continue(server, SEAMS)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_workers_that_go_on_too_late_at_every_file(tmp_path: Path) -> None:
    with mortal(tmp_path, "", audio__workers=WORKERS, jobs__stall_seconds=600) as server:
        server.failpoints.forget()
        server.plain()
        server.end()
        made = re.compile(r"replace (outputs/|scratch/(mix|harmonic|percussive)\.f32).* before")
        stop_and_continue(server, sorted(filter(made.fullmatch, server.failpoints.seen())))
