"""Places that callers share fairly: none of them can take all, however many it asks for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from server.errors import ServerBusy

RETRY_AFTER: Final = 5  # seconds


class SharedPlaces:
    """`total` places. A caller may have as many as are left free beside its own: one alone half of
    them, two a third each; so there is always one for who comes next.

    The rule is that of dynamic thresholds for shared buffers (Choudhury and Hahne, IEEE/ACM
    Transactions on Networking 6, 1998), with alpha 1.
    """

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._taken: Counter[str] = Counter()

    def take(self, caller: str) -> None:
        """A place, until `leave`. Raises ServerBusy."""
        if self._taken[caller] >= self._total - self._taken.total():
            raise ServerBusy(f"Too many {self._what}; try again later", RETRY_AFTER)
        self._taken[caller] += 1

    def leave(self, caller: str) -> None:
        """Gives a place back."""
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Holds a place meanwhile. Raises ServerBusy."""
        self.take(caller)
        try:
            yield
        finally:
            self.leave(caller)
