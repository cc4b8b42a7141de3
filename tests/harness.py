"""A real server in its own process group, or a command, for tests that look at it from outside."""

import ctypes
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between a fork and its exec
PR_SET_PDEATHSIG = 1
PATIENCE = 120.0  # seconds: generous, so that a busy machine fails no test


def wait_for(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Polls until `what()` is true, and returns it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {patience:g} s: {what}")


def free_port() -> int:
    """A port that nobody has, of those that the system gives to no outgoing connection: it would
    be gone when the server that is started for it is ready to take it."""
    while True:
        port = random.randrange(10_240, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def on_its_own() -> None:
    """For a new process: the kernel kills it when the thread that made it ends, however it ends, so
    that a test run that is killed leaves no server behind; and it does not ignore what a run under
    `nohup` ignores.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """`stembox serve` on a data directory of its own.

    stembox: the command; environ, cwd: what it runs in, besides this process's.
    """

    def __init__(
        self, data: Path, stembox: tuple[object, ...] = (sys.executable, "-m", "server.cli"),
        environ: dict[str, str] | None = None, cwd: Path | None = None, **settings: object,
    ) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # A full machine is no fault of the server's: only who asks tests the share of free disk.
        settings = {"server__min_free_percent": 0} | settings
        self.settings = {f"STEMBOX_{key.upper()}": str(value) for key, value in settings.items()}
        self.environ = (environ or {}) | self.settings
        self.stembox = [str(part) for part in stembox]
        self.cwd = cwd
        self.command: list[str] = []  # what to run the server under
        self.log = data.parent / f"{data.name}.log"

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """What its database says at the moment."""
        path = f"file:{self.data}/stembox.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute(statement, values).fetchall()

    def start(self, ready: bool = True) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("STEMBOX_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.stembox, "serve",
                 "--port", str(self.port), "--data-dir", str(self.data)],
                env=environ | self.environ, cwd=self.cwd, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=on_its_own,
            )
        if ready:
            wait_for(self.healthy)
            wait_for(lambda: len(self.get("/config").json()["workers"]) >= 4)

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **more)

    def post(self, content: bytes | Path, name: str = "song.wav") -> httpx.Response:
        data = content if isinstance(content, bytes) else content.read_bytes()
        return httpx.post(f"{self.url}/process", files={"file": (name, data)}, timeout=60)

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/job/{job_id}").json()
        return found

    def end_of(self, job_id: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] != "processing" else None

        found: dict[str, Any] = wait_for(ended, 240)
        return found

    def in_hand(self, worker: str) -> int | None:
        """How many tasks a worker has; None while it is not connected."""
        workers = {one["worker"]: one["running"] for one in self.get("/config").json()["workers"]}
        return workers.get(worker)

    def processes(self) -> list[psutil.Process]:
        """The parent and everything below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def pid_of(self, worker: str) -> int:
        """A worker's process id, as the log tells."""
        lines = [line for line in self.log.read_text().splitlines()
                 if '"worker connected"' in line and f'"{worker}"' in line]
        return int(lines[-1].split('"pid":')[1].split(",")[0].rstrip("}"))

    def api_pid(self) -> int:
        lines = [line for line in self.log.read_text().splitlines() if '"API ready"' in line]
        return int(lines[-1].split('"pid":')[1].split(",")[0].rstrip("}"))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def survivors(processes: list[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Which of them still run after so long. Python's own helpers end a moment after those whom
    they help, and nobody may be there to take leave of a zombie."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Server]:
    """A started server, and nothing of it left afterwards."""
    server = Server(data, **settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        wait_for(lambda: not _port_taken(server.port), 30)


def stembox(*arguments: object, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *map(str, arguments)], text=True,
        capture_output=True, env=os.environ | environ, timeout=240, check=False,
    )


def _port_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
