"""What all workers have in common that touch strangers' files: one process, one thread, limits.

Such files are decoded here, so the process may hold only so much memory, and may die.
"""

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import structlog

from server.audio.budget import within_cpu
from server.config import Config
from server.errors import StemboxError
from server.work.channel import Channel
from server.work.messages import Hello, Result, Task
from server.work.scheduler import StepScheduler
from server.work.steps import Steps

log = structlog.get_logger()
Stage = Callable[[Task], Steps[Result]]
_MIB = 1 << 20


class StageWorker:
    """Runs a pool's stages. Building one warms it up and sets the limits."""

    pool: ClassVar[str]
    stages: ClassVar[Mapping[str, Stage]]
    slots: ClassVar[int]

    def __init__(self, config: Config, device: str = "cpu") -> None:
        self._device = device
        self.warm_up()
        limit_process(config.audio.memory_mb)

    def warm_up(self) -> None:
        """Does before the first task comes what would keep it waiting."""

    def hello(self, name: str, pid: int) -> Hello:
        """What this worker says of itself when it connects."""
        return Hello(self.pool, name, pid, self._device, self.slots, in_turns=True)

    def serve(self, channel: Channel) -> None:
        """Runs what comes until the channel closes (ChannelClosed)."""
        StepScheduler(channel, self.begin, log_failure).serve()

    def begin(self, task: Task) -> Steps[Result]:
        """A task's steps.

        They raise:
            LookupError: a stage that this pool does not have.
            StemboxError: as the stage says.
        """
        stage = self.stages.get(task.stage.partition("/")[0])
        if stage is None:
            raise LookupError(f"the {self.pool} pool has no stage {task.stage!r}")
        return (yield from self.bounded(stage(task)))

    def bounded(self, steps: Steps[Result]) -> Steps[Result]:
        """The same steps, none of which may take CPU time for ever. A task's whole time is not
        bounded: songs are long, and several lie still."""
        return within_cpu(steps)


def limit_process(memory_mb: int) -> None:
    """Lets this process take `memory_mb` MiB on top of what it holds now; beyond is MemoryError.

    RLIMIT_DATA counts private writable memory only. RLIMIT_AS would count every library, and
    address space that numba's compiler and the threads of BLAS reserve and never touch.
    """
    limit = _data_bytes() + memory_mb * _MIB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not write gigabytes


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process at the moment (VmData of proc(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def log_failure(task: Task, error: Exception) -> None:
    """One line about a stage that did not come to its end: an error only where something is wrong
    here."""
    if isinstance(error, StemboxError):  # the input's fault, or a cancelled job: no defect
        log.info("stage ended", job=task.job, stage=task.stage, reason=error.message)
    elif isinstance(error, FileNotFoundError) and not Path(task.scratch or task.outputs).exists():
        # a job that was cancelled takes its files along, sooner than its worker is told
        log.info("stage ended: the job's files are gone", job=task.job, stage=task.stage)
    else:
        log.error("stage failed", job=task.job, stage=task.stage, exc_info=error)
