"""What a server's processes take while it is under load: cores, memory, handles, and its disk."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil


class Sample(NamedTuple):
    """At `at` seconds of the run. `cpu_s`: CPU seconds so far by kind of process; memory is PSS."""

    at: float
    cpu_s: dict[str, float]
    memory_mb: float
    handles: int
    processes: int
    data_mb: float
    database_mb: float


class Watch:
    """A server on this machine, by its first process."""

    def __init__(self, pid: int, data: Path | None, kinds: Callable[[], dict[int, str]]) -> None:
        self._root, self._data, self._kinds = psutil.Process(pid), data, kinds
        self._began = time.monotonic()

    def sample(self) -> Sample:
        """Looks once. A process that ends meanwhile is left out."""
        cpu: dict[str, float] = {}
        memory, handles, alive = 0, 0, 0
        kinds = self._kinds()
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                times, pss = process.cpu_times(), process.memory_full_info().pss
                handles += process.num_fds()
            except psutil.Error:
                continue
            kind = kinds.get(process.pid, "other")
            cpu[kind] = cpu.get(kind, 0.0) + times.user + times.system
            memory, alive = memory + pss, alive + 1
        return Sample(
            time.monotonic() - self._began, cpu, memory / 1e6, handles, alive,
            _size(self._data) / 1e6, _database(self._data) / 1e6,
        )  # fmt: skip



def utilisation(samples: list[Sample]) -> dict[str, list[tuple[float, float]]]:
    """Cores that each kind of process kept busy, between one sample and the next."""
    found: dict[str, list[tuple[float, float]]] = {}
    for before, after in pairwise(samples):
        for kind, seconds in after.cpu_s.items():
            busy = (seconds - before.cpu_s.get(kind, 0.0)) / max(1e-9, after.at - before.at)
            found.setdefault(kind, []).append((after.at, max(0.0, busy)))
    return found


def growth(values: list[float]) -> float:
    """By how much the median of the last third exceeds that of the middle third: what is filled
    while it warms up does not count."""
    third = len(values) // 3
    if third == 0:
        return 0.0
    return sorted(values[-third:])[third // 2] - sorted(values[third : 2 * third])[third // 2]


def _size(folder: Path | None) -> int:
    if folder is None:
        return 0
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _database(folder: Path | None) -> int:
    return 0 if folder is None else sum(file.stat().st_size for file in folder.glob("stembox.db*"))
