"""How far a long command is: bytes that are done, told as a share."""

from collections.abc import Callable

Report = Callable[[str, float], None]
"""Is told what is done, and the share of it that is."""


class Meter:
    """Counts bytes of one piece of work."""

    def __init__(self, name: str, total: int, report: Report) -> None:
        self._name, self._total, self._report, self._done = name, max(1, total), report, 0

    def add(self, size: int) -> None:
        """So many more are done."""
        self._done += size
        self._report(self._name, min(1.0, self._done / self._total))

    def end(self) -> None:
        """All is done."""
        self._report(self._name, 1.0)
