"""What a server holds while it works on and on, and whether that grows."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psutil

MEGABYTE = 1 << 20
# How much the middle of the last third of all samples may lie above that of the third before it.
ALLOWED = {"memory": 6 * MEGABYTE, "handles": 3, "threads": 2, "files": 3, "disk": 2 * MEGABYTE}


class Soak:
    """Samples of several quantities, each of which must stay flat: `who quantity` by name."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    def note(self, who: str, **quantities: float) -> None:
        """One sample of each; their names are those of ALLOWED."""
        for name, value in quantities.items():
            self.samples.setdefault(f"{who} {name}", []).append(value)

    def note_process(self, who: str, pid: int) -> None:
        """What one process has for itself.

        Its memory is what it has allocated, swapped out or not, and not what it alone has: pages
        that a fork shares become each one's own when a garbage collection first writes to them.
        """
        process = psutil.Process(pid)
        with process.oneshot():
            full = process.memory_full_info()
            self.note(who, memory=full.rss - full.shared + full.swap, handles=process.num_fds(),
                      threads=process.num_threads())  # fmt: skip

    def note_folder(self, who: str, folder: Path) -> None:
        """What lies below it."""
        files = [path.stat() for path in folder.rglob("*") if path.is_file()]
        self.note(who, files=len(files), disk=sum(file.st_size for file in files))

    def growing(self, warming: Mapping[str, float] = MappingProxyType({})) -> list[str]:
        """What does, as sentences. The first third of the time is for warming up.

        warming: more memory, in bytes, that those may take whose names begin so.
        """
        found = []
        for name, values in self.samples.items():
            third = len(values) // 3
            middle, last = values[-2 * third : -third], values[-third:]
            more = statistics.median(last) - statistics.median(middle)
            who, _, what = name.rpartition(" ")
            spare = warming.get(who.partition("-")[0], 0.0) if what == "memory" else 0.0
            if more > ALLOWED[what] + spare:
                found.append(f"{name} grows: {values[0]:.0f}, {statistics.median(middle):.0f}, "
                             f"{statistics.median(last):.0f}")  # fmt: skip
        return found

    def __str__(self) -> str:
        lines = [f"{name}: {values[0]:.0f}, at most {max(values):.0f}, at last {values[-1]:.0f}"
                 for name, values in self.samples.items()]  # fmt: skip
        return "\n".join(lines)
