"""How many cores this process may use, whoever says so: the scheduler, or a control group."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def cores() -> int:
    """Those that it may run on; fewer where its control group gives it the time of fewer, rounded
    up (`docker run --cpus`, a Kubernetes limit, `CPUQuota=`)."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *map(math.ceil, cpu_limits())]))


def cpu_limits(
    told: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> Iterator[float]:
    """The limits in cores of this process's control group and of all around it: those of cgroup v2
    (`cpu.max`) and v1 (`cpu.cfs_quota_us`; Linux, Documentation/admin-guide/cgroup-v2.rst).
    """
    with suppress(OSError, ValueError):
        for line in told.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = mounted / "cpu" if controllers else mounted
            below = base / path.lstrip("/")  # not there in a container that has its own root
            for folder in (below, *below.parents):
                if folder.is_relative_to(base):
                    yield from _limit(folder)


def _limit(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        given, of = (int((folder / f"cpu.cfs_{name}_us").read_text())
                     for name in ("quota", "period"))  # fmt: skip
        if given > 0:
            yield given / of
