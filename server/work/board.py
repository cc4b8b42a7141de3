"""What the supervisor and its processes tell each other, in memory that all of them share: a
process' last sign of life, what a worker is working on, and until when a pool's breaker is open.

Times are `time.monotonic()`, which is one clock for all processes of a machine; 0 means none. Each
number has one writer.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from multiprocessing import get_context

LONGEST_REST = 60.0  # seconds that a pool may rest
MOST_MARKS = 128  # of what one worker is working on; more are not kept


def pool_of(worker: str) -> str:
    """Whose worker it is, by its name."""
    return worker.rpartition("-")[0]


class Board:
    """Made by the parent before it starts any process; goes to each as it is."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        """pools: how many workers each has. They are seated in this order, the API process last."""
        self._first: dict[str, int] = {}
        seats: list[str] = []
        for pool, count in pools.items():
            self._first[pool] = len(seats)
            seats += [f"{pool}-{number}" for number in range(count)]
        self.api = len(seats)
        self.seats: Sequence[str] = (*seats, "api")
        self.pools: Sequence[str] = tuple(pools)
        memory = get_context("spawn")
        self._signs = memory.RawArray("d", len(self.seats))
        self._closes = memory.RawArray("d", max(1, len(pools)))
        self._marks = [memory.RawArray("Q", 1 + MOST_MARKS) for _ in seats]  # behind their number

    def seat(self, pool: str, number: int) -> int:
        """A worker's place among all processes."""
        return self._first[pool] + number

    @property
    def workers(self) -> list[tuple[str, str]]:
        """Pool and name of every worker that there should be."""
        return [(pool_of(name), name) for name in self.seats[: self.api]]

    def pool_of(self, seat: int) -> str | None:
        """Whose worker it is; None for the API process."""
        return None if seat == self.api else pool_of(self.seats[seat])

    def give_sign(self, seat: int) -> None:
        """This process is there. The API process says so again and again, a worker whenever it
        has reached the API process."""
        self._signs[seat] = time.monotonic()

    def forget_sign(self, seat: int) -> None:
        """Another process will sit here, or must show itself anew."""
        self._signs[seat] = 0.0

    def sign(self, seat: int) -> float | None:
        """When this process gave its last sign; None before its first."""
        return self._signs[seat] or None

    def set_current_work(self, seat: int, marks: Iterable[int]) -> None:
        """What this worker is working on from now on, as 64-bit hashes of jobs and files: after a
        death the supervisor knows what it was over."""
        kept = list(islice(marks, MOST_MARKS))
        self._marks[seat][1 : 1 + len(kept)] = kept
        self._marks[seat][0] = len(kept)

    def current_work(self, seat: int) -> frozenset[int]:
        """What a worker is working on, or was when it died."""
        return frozenset(self._marks[seat][1 : 1 + self._marks[seat][0]])

    def open_breaker(self, pool: str, until: float) -> None:
        """No worker of this pool is started before that."""
        self._closes[self.pools.index(pool)] = until

    def pause(self, pool: str) -> float:
        """Seconds until workers of this pool are started again; 0 where the breaker is closed."""
        if pool not in self.pools:
            return 0.0
        left = self._closes[self.pools.index(pool)] - time.monotonic()
        # Workers write on the board, too: no pool rests longer, whatever stands there.
        return left if 0.0 <= left <= LONGEST_REST else 0.0 if left < 0.0 else LONGEST_REST
