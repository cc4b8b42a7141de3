"""A process that is killed at a call of its own, for what must survive a kill at every one."""

import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Sequence


def killed_at(
    step: int, calls: Sequence[str], work: Callable[..., object], *arguments: object
) -> bool:
    """Whether `work` was killed on its way, in a process of its own, behind so many calls of these
    functions of `os`; else it has come to its end."""
    process = mp.get_context("fork").Process(target=_die_at, args=(step, calls, work, *arguments))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _die_at(
    step: int, calls: Sequence[str], work: Callable[..., object], *arguments: object
) -> None:
    made = 0

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **more: object) -> object:
            nonlocal made
            made += 1
            if made > step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return counted

    for name in calls:
        setattr(os, name, counting(getattr(os, name)))
    work(*arguments)
