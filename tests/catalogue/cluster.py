"""A Ray cluster of several nodes on this machine, and the command as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from tests.harness import on_its_own, wait_for

ROOT = Path(__file__).resolve().parents[2]
# The overlap makes work of short songs, so that what dies dies in the middle of them.
SETTINGS = {"models__balanced": "tiny", "separation__device": "cpu", "separation__threads": 1,
            "models__overlap_balanced": 0.9}  # fmt: skip
PATIENCE = 600.0  # seconds: a busy machine fails no test
SMALL = {"object_store_memory": 80 << 20}  # bytes: the least that Ray takes


class RayCluster:
    """A head that computes nothing, and nodes of one core each."""

    def __init__(self, nodes: int) -> None:
        os.environ["PYTHONPATH"] = str(ROOT)
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
        self.address = self._cluster.address
        self.nodes: list[Any] = []
        for _ in range(nodes):
            self.add_node()

    def add_node(self) -> None:
        self.nodes.append(self._cluster.add_node(num_cpus=1, **SMALL))

    def kill_node(self, place: int) -> None:
        """Takes a machine away, with all that runs on it."""
        self._cluster.remove_node(self.nodes.pop(place), allow_graceful=False)

    def processes(self, name: str) -> list[psutil.Process]:
        """Workers that run a task or an actor of this name, the oldest first."""
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                if f"ray::{name}" in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda process: process.pid)

    def close(self) -> None:
        self._cluster.shutdown()


class Command:
    """`stembox catalogue` while it runs."""

    def __init__(
        self, data: Path, log: Path, *arguments: object, module: str = "server.cli",
        **settings: object,
    ) -> None:  # fmt: skip
        environ = {f"STEMBOX_{key.upper()}": str(value)
                   for key, value in (SETTINGS | settings).items()}  # fmt: skip
        self._log = log
        with log.open("ab") as opened:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "catalogue", "--data-dir", str(data),
                 *map(str, arguments)],
                env=os.environ | environ | {"PYTHONPATH": str(ROOT)}, stderr=opened,
                stdout=opened, cwd=ROOT, preexec_fn=on_its_own, start_new_session=True,
            )

    def wait(self, patience: float = PATIENCE) -> int:
        """Its exit code."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.told()) from None

    def told(self) -> str:
        """What it said so far, and those before it in the same log."""
        return self._log.read_text()

    def until(self, what: Callable[[], Any]) -> None:
        """Waits for `what`, which is to happen while the command runs."""
        wait_for(lambda: what() or self.process.poll() is not None, PATIENCE)
        assert self.process.poll() is None, self.told()

    def signal_when(self, what: Callable[[], Any], number: int = signal.SIGINT) -> int:
        """Waits for `what`, sends a signal, and returns the exit code."""
        self.until(what)
        self.process.send_signal(number)
        return self.wait()


def committed(output: Path) -> int:
    """Results that are whole in an output on this machine."""
    return len(list(output.glob("songs/*/*/result.json")))
