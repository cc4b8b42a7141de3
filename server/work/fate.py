"""What the kernel is asked to do with this process: end it with its parent, or before others."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# Added to the scores by which the kernel, out of memory, chooses whom to kill: a worker costs one
# attempt, and of those first what decodes; the API process or the supervisor would cost them all.
EXPENDABLE, MOST_EXPENDABLE, HIGHEST_SCORE = 300, 600, 1000


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends, however that happens."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was too late already
        os._exit(1)


def be_killed_first(points: int) -> None:
    """Raises this process' out-of-memory score, where the system has any."""
    path = Path("/proc/self/oom_score_adj")
    with suppress(OSError):
        path.write_text(str(min(HIGHEST_SCORE, int(path.read_text()) + points)))
