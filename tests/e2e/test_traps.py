"""What the serving library does by itself and must not do here. Each was seen to happen."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import write_song
from tests.harness import Server, serving, survivors, wait_for


def cpu_seconds(server: Server) -> float:
    total = 0.0
    for process in server.processes():
        times = process.cpu_times()
        total += times.user + times.system
    return total


def test_idle_means_idle(server: Server) -> None:
    """Loops that poll their queues took half a core each."""
    wait_for(server.healthy)
    time.sleep(1)
    before = cpu_seconds(server)
    time.sleep(5)
    assert cpu_seconds(server) - before < 0.25, "5 % of a core; a spinning loop takes 50"


def test_its_own_routes_are_hidden(server: Server) -> None:
    for path in ("/index.html", "/info", "/predict", "/separation", "/audio", "/probe",
                 "/redoc", "/shutdown", "/litserve/health"):
        for method in ("GET", "POST"):
            answer = httpx.request(method, server.url + path)
            assert answer.status_code == 404, (method, path)
            assert answer.json() == {"detail": "Not found"}
    document = server.get("/openapi.json").json()
    assert "/process" in document["paths"]
    assert "/predict" not in document["paths"]


def test_a_real_server_believes_no_proxy_by_itself(server: Server) -> None:
    """LitServe's uvicorn would believe loopback. The log says whom it took for the caller."""
    server.get("/by-a-proxy", headers={"X-Forwarded-For": "9.9.9.9"})

    def told() -> list[str]:  # its line is written when the answer is there already
        lines = server.log.read_text().splitlines()
        return [line for line in lines if '"/by-a-proxy"' in line]

    assert '"client":"127.0.0.1"' in wait_for(told)[-1]


def test_downloads_are_not_compressed(server: Server, songs: dict[str, Path]) -> None:
    job = server.end_of(server.post(songs["wav"]).json()["job_id"])
    answer = server.get(f"/download/{job['job_id']}/main", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert len(answer.content) == int(answer.headers["content-length"])


def test_uploads_do_not_stay_in_memory(server: Server) -> None:
    api = psutil.Process(server.api_pid())
    before, highest = api.memory_info().rss, 0

    def body() -> object:
        nonlocal highest
        head = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n')
        yield head
        for _ in range(30):
            yield b"\x01" * 1_000_000
            highest = max(highest, api.memory_info().rss)
        yield b"\r\n--x--\r\n"

    answer = httpx.post(f"{server.url}/process", content=body(), timeout=60,
                        headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400
    assert highest - before < 12e6, "30 MB were sent"


def test_a_client_that_hangs_up(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            b"POST /process HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
        )
        wait_for(lambda: list((server.data / "spool").iterdir()))
    wait_for(lambda: not list((server.data / "spool").iterdir()))
    assert server.get("/health").status_code == 200


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("own") / "data", jobs__stall_seconds=4,
                 server__grace_seconds=2) as running:
        yield running


@pytest.fixture
def own(killed: Server) -> Server:
    """A server that a test may kill: for the next one it is started again."""
    if killed.process.poll() is not None:
        killed.start()
    wait_for(killed.healthy)
    return killed


@pytest.fixture
def told(own: Server) -> Callable[[], str]:
    """What the log of `own` has had since the test began."""
    before = own.log.stat().st_size
    return lambda: own.log.read_bytes()[before:].decode()


def start_long_job(server: Server, song: Path) -> str:
    """A job that is in the middle of its separation."""
    job_id = server.post(song).json()["job_id"]
    wait_for(lambda: list((server.data / "scratch" / job_id).glob("vocals.f32.*.part")))
    return job_id


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be caught in the middle of its separation, and no longer."""
    return write_song(tmp_path_factory.mktemp("song") / "a.wav", 15)


def completed_with_all_tracks(server: Server, job_id: str) -> bool:
    job = server.end_of(job_id)
    return job["status"] == "completed" and len(job["outputs"]) == 9


def test_every_kind_of_death(own: Server, song: Path) -> None:
    """A dead worker's waiting job was never answered; a dead API process never replaced."""
    job_id = start_long_job(own, song)
    os.kill(own.pid_of("separation-0"), signal.SIGKILL)
    assert completed_with_all_tracks(own, job_id)

    job_id = start_long_job(own, song)
    os.kill(own.pid_of("separation-0"), signal.SIGSTOP)  # stalled, not dead
    assert completed_with_all_tracks(own, job_id)

    job_id = start_long_job(own, song)
    for worker in ("audio-0", "audio-1", "probe-0"):
        if worker in own.log.read_text():
            os.kill(own.pid_of(worker), signal.SIGKILL)
    assert completed_with_all_tracks(own, job_id)

    job_id = start_long_job(own, song)
    os.kill(own.api_pid(), signal.SIGKILL)
    wait_for(own.healthy)
    assert completed_with_all_tracks(own, job_id)


def test_kill_the_server_in_mid_job(own: Server, song: Path) -> None:
    job_id = start_long_job(own, song)
    processes = own.processes()
    own.kill()
    assert not survivors(processes), "children die with their parent"
    own.start()
    assert completed_with_all_tracks(own, job_id)
    log = own.log.read_text()
    decoded = [line for line in log.splitlines()
               if '"stage completed"' in line and '"decode"' in line and job_id in line]
    assert len(decoded) == 1, "it went on from its last finished stage"


def test_sigterm_leaves_no_process_and_no_port(
    own: Server, songs: dict[str, Path], told: Callable[[], str]
) -> None:
    job_id = start_long_job(own, songs["long"])
    processes = own.processes()
    own.terminate()
    assert not survivors(processes)
    assert '"process died' not in told(), "whoever has ended was told to"
    own.start()
    assert completed_with_all_tracks(own, job_id)
    retried = [line for line in own.log.read_text().splitlines()
               if '"attempt":2' in line and job_id in line]
    assert not retried, "a stop costs no attempt"


@pytest.mark.parametrize("seconds", [0.3, 0.6, 0.9, 1.5])
def test_sigterm_while_it_starts(tmp_path: Path, seconds: float) -> None:
    server = Server(tmp_path / "data")
    server.start(ready=False)
    time.sleep(seconds)
    processes = server.processes()
    server.terminate()
    assert not survivors(processes)


def test_a_stop_is_graceful_after_the_api_process_was_replaced(
    own: Server, songs: dict[str, Path], told: Callable[[], str]
) -> None:
    """Also after it has ended by itself: workers live on, and are found again."""
    os.kill(own.api_pid(), signal.SIGKILL)
    wait_for(lambda: told().count('"API ready"') == 1)
    wait_for(own.healthy)
    os.kill(own.api_pid(), signal.SIGTERM)
    wait_for(lambda: told().count('"API ready"') == 2)
    wait_for(own.healthy)
    job_id = start_long_job(own, songs["long"])
    own.terminate()
    assert told().count('"stopping"') == 2, "once by itself, once with the server"
    assert "Traceback" not in told()
    own.start()
    assert completed_with_all_tracks(own, job_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_costs_no_attempt(
    own: Server, songs: dict[str, Path], told: Callable[[], str], number: signal.Signals
) -> None:
    """A terminal that is closed sends SIGHUP to all that were started in it."""
    job_id = start_long_job(own, songs["long"])
    os.killpg(own.process.pid, number)
    assert own.process.wait(60) == 0
    log = told()
    assert f'"signal":"{number.name}","event":"told to stop"' in log
    assert '"event":"stopped"' in log.splitlines()[-1]
    assert "process died" not in log, "what was told to end has not failed"
    own.start()
    assert completed_with_all_tracks(own, job_id)
    assert not [line for line in own.log.read_text().splitlines()
                if '"attempt":2' in line and job_id in line]


def test_as_the_first_process_of_a_container(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"],
                      capture_output=True, check=False).returncode:
        pytest.skip("no process namespaces here")
    server = Server(tmp_path / "data")
    server.command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    server.start()
    server.kill()


def test_one_server_for_one_data_directory(own: Server) -> None:
    second = Server(own.data)
    second.start(ready=False)
    assert second.process.wait(60) == 1
