"""Looks at uploads: what they are, and how long. Each kind of look has a pool of its own.

Their senders wait for the answer, and a worker that a file kills is soon there again: nothing is
imported here that compiles.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from msgspec import structs

from server.audio import decode as decoding
from server.audio.budget import CpuBudget
from server.audio.stage_worker import Stage, StageWorker
from server.work.messages import Result, Task
from server.work.steps import Steps


def probe(task: Task) -> Steps[Result]:
    """What the input is, as facts: the fields of `Probe`."""
    found = decoding.probe(Path(task.source), task.options.file_name)
    yield 1.0
    return Result(task.id, facts=structs.asdict(found))


def measure(task: Task) -> Steps[Result]:
    """What `probe` says, and fact `frames`: how long the input is, by decoding all of it."""
    options, source = task.options, Path(task.source)
    found = decoding.probe(source, options.file_name)
    frames = yield from decoding.measure(source, options.max_seconds, options.file_name)
    return Result(task.id, facts=structs.asdict(found) | {"frames": frames})


class ProbeWorker(StageWorker):
    """Tells what a file is; one at a time: when the worker dies, it is clear of which."""

    pool: ClassVar[str] = "probe"
    stages: ClassVar[Mapping[str, Stage]] = {"probe": probe}
    slots: ClassVar[int] = 1
    cpu_seconds: ClassVar[float] = 10.0  # for one file; a silent track of ten minutes takes three

    def bounded(self, steps: Steps[Result]) -> Steps[Result]:
        """Raises AudioError for a file that takes too long in all."""
        return CpuBudget(self.cpu_seconds).run(steps)


class MeasureWorker(ProbeWorker):
    """Decodes whole uploads to know their length, which may take a while."""

    pool: ClassVar[str] = "measure"
    stages: ClassVar[Mapping[str, Stage]] = {"measure": measure}
    cpu_seconds: ClassVar[float] = 300.0  # an hour of the slowest codec takes a fifth of it
