"""A server that a run starts for itself, with a data directory of its own, and ends afterwards."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE_S = 180.0
POOLS = 4  # each has a worker at least; beside the API and the supervisor
ACCOUNT = "load"
MINUTES = 10_000_000


class OwnServer:
    """`stembox serve`, ready; `pid` of its first process."""

    def __init__(self, data: Path, settings: dict[str, str | int | float | bool]) -> None:
        self.data, self.log = data, data.with_suffix(".log")
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environ = {"STEMBOX_FETCH__ALLOW_NETWORKS": "127.0.0.0/8", "STEMBOX_LOG__FORMAT": "json"}
        environ |= {f"STEMBOX_{name.upper()}": str(value) for name, value in settings.items()}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", "--port", str(self.port),
                 "--data-dir", str(data)],
                stdout=log, stderr=log, env=os.environ | environ,
            )  # fmt: skip
        self.pid = self._process.pid
        self._until_ready()

    def key(self) -> str:
        """A new key, with credits for any run."""
        return subprocess.run(
            [sys.executable, "-m", "server.cli", "keys", "create", "--account", ACCOUNT,
             "--minutes", str(MINUTES), "--data-dir", str(self.data)],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    def kinds(self) -> dict[int, str]:
        """What each process is, as the log tells."""
        found = {self.pid: "supervisor"}
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            said = json.loads(line)
            if said.get("event") == "API ready":
                found[said["pid"]] = "API"
            elif said.get("event") == "worker connected":
                found[said["pid"]] = str(said["worker"]).rstrip("0123456789-")
        return found

    def stop(self) -> None:
        """Ends it as an operator would."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def _until_ready(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                with urlopen(f"{self.url}/health", timeout=5):
                    if len(self.kinds()) >= POOLS + 2:
                        return
            except (URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.2)
        self.stop()
        said = self.log.read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the server did not get ready:\n{said[-2000:]}")


@contextmanager
def own_server(
    data: Path, settings: dict[str, str | int | float | bool]
) -> Iterator[OwnServer]:
    """One that is gone afterwards."""
    server = OwnServer(data, settings)
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
