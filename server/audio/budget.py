"""How much CPU time a look at a stranger's file may take, and what ends it.

A timer ends what runs in Python; what never comes back from a library is ended by the kernel, and
the process with it. For one thread that does one thing at a time.
"""

import resource
import signal
import time
from contextlib import closing
from types import FrameType
from typing import Final, TypeVar

from server.errors import AudioError
from server.work.steps import Steps

T = TypeVar("T")
AGAIN: Final = 0.1  # seconds of CPU time after which the timer tells once more, if nobody heard it
SPARE: Final = 5  # seconds beyond, until the kernel ends the process


class _OutOfTime(BaseException):
    """No `Exception`, so that no reader takes it for a broken file."""


class CpuBudget:
    """`seconds` of CPU time for each work."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inside = False

    def run(self, steps: Steps[T]) -> Steps[T]:
        """The same steps, of which all together take no more.

        Raises AudioError: they would.
        """
        signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_PROF, self._seconds, AGAIN)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (self._end(hard), hard))
        try:
            with closing(steps):
                while True:
                    yield self._step(steps)
        except StopIteration as end:  # of `steps`
            result: T = end.value
        except _OutOfTime:
            raise AudioError("The file takes too long to be read") from None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        return result

    def _step(self, steps: Steps[T]) -> float:
        self._inside = True
        try:
            return next(steps)
        finally:
            self._inside = False

    def _end(self, hard: int) -> int:
        end = int(time.process_time() + self._seconds) + SPARE
        return end if hard == resource.RLIM_INFINITY else min(end, hard)

    def _ring(self, _: int, __: FrameType | None) -> None:
        """Between two steps nothing is to be ended: the next one is."""
        if self._inside:
            raise _OutOfTime
