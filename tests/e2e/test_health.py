"""What `/health`, `/health/live` and `/health/ready` say of a real server that ails or stops."""

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from server.pool_plans import PROBES
from tests.e2e.conftest import write_song
from tests.harness import Server, serving, survivors, wait_for


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that suffers, and recovers."""
    with serving(tmp_path_factory.mktemp("ill") / "data", server__stall_seconds=5,
                 server__start_seconds=40) as running:
        yield running


def problems(server: Server) -> list[str]:
    found: list[str] = server.get("/health/ready").json()["problems"]
    return found


def degraded(server: Server) -> bool:
    answer = server.get("/health")
    return answer.status_code == 503 and answer.json()["status"] == "degraded"


def workers(server: Server, pool: str) -> list[int]:
    names = [worker["worker"] for worker in server.get("/config").json()["workers"]]
    return [server.pid_of(name) for name in names if name.startswith(f"{pool}-")]


@pytest.mark.parametrize("pool", ["audio", "probe", "measure"])
def test_a_pool_that_is_dead(ill: Server, pool: str) -> None:
    wait_for(lambda: not problems(ill))
    for pid in workers(ill, pool):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: degraded(ill) and problems(ill) == [f"No {pool} worker is ready"])
    assert ill.get("/health/live").json() == {"status": "live"}, "others will be started"
    wait_for(lambda: not problems(ill))


def test_a_database_that_refuses(ill: Server) -> None:
    wait_for(lambda: not problems(ill))
    other = sqlite3.connect(ill.data / "stembox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    wait_for(lambda: degraded(ill) and problems(ill) == ["The database does not answer"])
    other.execute("ROLLBACK")
    other.close()
    wait_for(lambda: not problems(ill))


def test_out_of_memory_the_kernel_takes_workers_first(ill: Server) -> None:
    """Also of processes that were started in the place of others."""
    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    wait_for(lambda: not problems(ill))
    decoders = [pid for pool in ("audio", "probe", "measure") for pid in workers(ill, pool)]
    spared = max(score(ill.process.pid), score(ill.api_pid()))
    (separation,) = workers(ill, "separation")
    assert spared < score(separation) < min(map(score, decoders))


def test_a_hung_api_process_is_replaced(ill: Server, songs: dict[str, Path]) -> None:
    """Stopped, it answers nobody and dies by itself never; its connections are all still there."""
    wait_for(lambda: not problems(ill))
    job = ill.post(songs["wav"]).json()["job_id"]
    hung = ill.api_pid()
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: ill.api_pid() != hung)
    wait_for(lambda: not problems(ill))
    assert not psutil.pid_exists(hung)
    assert ill.end_of(job)["status"] == "completed", "what it had accepted goes on"


@pytest.fixture(scope="module")
def hung(ill: Server) -> psutil.Process:
    """A probe worker that has been stopped before its hello."""
    wait_for(lambda: not problems(ill))
    wait_for(lambda: len(workers(ill, "probe")) == PROBES)
    before = {process.pid for process in ill.processes()}
    os.kill(workers(ill, "probe")[0], signal.SIGKILL)

    def successor() -> psutil.Process | None:
        return next((one for one in ill.processes() if one.pid not in before), None)

    found: psutil.Process = wait_for(successor)
    found.suspend()
    return found


def test_a_worker_that_hangs_before_its_hello_leaves_its_work_to_others(
    ill: Server, hung: psutil.Process, tmp_path: Path
) -> None:
    """It is killed when it has had its time to start, which the next tests use."""
    wait_for(lambda: len(workers(ill, "probe")) == PROBES - 1)
    assert not problems(ill)
    assert ill.post(write_song(tmp_path / "a.wav", 1)).status_code == 200


def test_pythons_own_helper_is_replaced_too(ill: Server) -> None:
    def helpers() -> list[psutil.Process]:
        found = []
        for one in ill.processes():
            with suppress(psutil.ZombieProcess):
                found += [one] if "resource_tracker" in " ".join(one.cmdline()) else []
        return found

    (helper,) = wait_for(helpers)
    helper.kill()
    wait_for(lambda: helpers() and helpers() != [helper])
    assert psutil.STATUS_ZOMBIE not in {one.status() for one in ill.processes()}


def test_a_pool_that_keeps_dying_is_left_alone_for_a_while(
    ill: Server, songs: dict[str, Path]
) -> None:
    wait_for(lambda: not problems(ill))
    said = "The measure workers keep dying; others start soon"
    for _ in range(3):
        for pid in workers(ill, "measure"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not workers(ill, "measure"))
        wait_for(lambda: workers(ill, "measure") or said in problems(ill))
    assert problems(ill) == [said] and degraded(ill)
    assert '"workers keep dying: breaker open"' in ill.log.read_text()
    refused = ill.post(songs["wav"])
    assert (refused.status_code, refused.json()) == (503, {"detail": said})
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    wait_for(lambda: not problems(ill))
    assert ill.post(songs["wav"]).status_code == 200


def test_a_worker_that_hangs_before_its_hello_is_replaced(
    ill: Server, hung: psutil.Process
) -> None:
    wait_for(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE)
    assert '"process did not start: killing it"' in ill.log.read_text()
    wait_for(lambda: len(workers(ill, "probe")) == PROBES)


class SlowDownload:
    """A download whose client reads when it is told to."""

    def __init__(self, server: Server, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self._socket.connect(("127.0.0.1", server.port))
        ask = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        self._socket.sendall(ask.encode())
        self.got = self._socket.recv(4096)

    def rest(self) -> bytes:
        while part := self._socket.recv(1 << 20):
            self.got += part
        return self.got.partition(b"\r\n\r\n")[2]


def ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_unready_within_a_second_of_a_stop_while_a_download_goes_on(
    tmp_path: Path, songs: dict[str, Path]
) -> None:
    with serving(tmp_path / "data", server__grace_seconds=60) as server:
        job = server.end_of(server.post(songs["long"]).json()["job_id"])
        whole = server.get(f"/download/{job['job_id']}/main").content
        processes = server.processes()
        download = SlowDownload(server, f"/download/{job['job_id']}/main")
        assert ready(server)
        server.process.send_signal(signal.SIGTERM)
        stopped = time.monotonic()
        wait_for(lambda: not ready(server))
        unready_s = time.monotonic() - stopped
        print(f"unready after {unready_s:.3f} s")
        assert unready_s < 1
        time.sleep(2)
        assert server.process.poll() is None, "the download is still running"
        assert download.rest() == whole
        assert server.process.wait(60) == 0
        assert not survivors(processes)
