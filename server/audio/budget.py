"""How much CPU time a look at a stranger's file may take, and what ends it.

A timer ends what runs in Python; what never comes back from a library is ended by the kernel, and
the process with it. For one thread that does one thing at a time.
"""

import math
import resource
import signal
import time
from contextlib import closing
from types import FrameType
from typing import Final, TypeVar

from server.errors import AudioError
from server.work.steps import Steps

T = TypeVar("T")
AGAIN: Final = 0.1  # seconds of CPU time after which the timer rings anew, if it was not heard
STEP_SECONDS: Final = 120  # of one step; who waits for a sign of life has given up by then, too
SPARE: Final = 5  # seconds beyond, until the kernel ends the process
# The clock that RLIMIT_CPU goes by: Linux's CPUCLOCK_PROF of the own process.
# It counts ticks: after hours it lies minutes off `time.process_time`, before it or behind.
LIMIT_CLOCK: Final = -8


class _OutOfTime(BaseException):
    """No `Exception`, so that no reader takes it for a broken file."""


class CpuBudget:
    """`seconds` of CPU time for each work."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inside = False

    def run(self, steps: Steps[T]) -> Steps[T]:
        """The same steps, which may take so much CPU time all together.

        Raises AudioError: they took more.
        """
        signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_PROF, self._seconds, AGAIN)
        _end_after(self._seconds + SPARE)
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
            _end_never()
        return result

    def _step(self, steps: Steps[T]) -> float:
        self._inside = True
        try:
            return next(steps)
        finally:
            self._inside = False

    def _ring(self, _: int, __: FrameType | None) -> None:
        """Between two steps nothing is to be ended: the next one is."""
        if self._inside:
            raise _OutOfTime


def within_cpu(steps: Steps[T], seconds: float = STEP_SECONDS) -> Steps[T]:
    """The same steps; one that takes more CPU time ends this process, whatever holds it up."""
    with closing(steps):
        while True:
            _end_after(seconds)
            try:
                done = next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                _end_never()
            yield done


def _end_after(seconds: float) -> None:
    """Has the kernel end this process once it has taken so much more CPU time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    end = math.ceil(_spent() + seconds)
    end = end if hard == resource.RLIM_INFINITY else min(end, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (end, hard))


def _spent() -> float:
    """Seconds of CPU time of this process as the kernel's limit counts them."""
    try:
        return time.clock_gettime(LIMIT_CLOCK)
    except OSError:  # no kernel of Linux's own
        return time.process_time()


def _end_never() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
