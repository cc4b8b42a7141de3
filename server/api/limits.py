"""How many requests a caller may make: fixed windows of a minute. Exact, because one process
answers all of them. Pure: the clock is an argument."""

import math
from typing import Final, NamedTuple

WINDOW: Final = 60.0  # seconds, from a caller's first request on
MOST_CALLERS: Final = 100_000  # remembered at once; beyond, windows that are over are dropped


class Verdict(NamedTuple):
    """`reset`: the unix time at which the window ends; `wait`: seconds until then."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    wait: int


class RateLimit:
    """`limit` requests in a window for each caller."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[float, int]] = {}  # caller: when it began, requests so far

    def count(self, caller: str, now: float) -> Verdict:
        """Counts one request of this caller."""
        began, used = self._windows.get(caller, (now, 0))
        if not 0 <= now - began < WINDOW:  # over, or the clock was set back
            began, used = now, 0
        used += 1
        if caller not in self._windows and len(self._windows) >= MOST_CALLERS:
            self._drop_old(now)
        self._windows[caller] = (began, used)
        wait = max(1, math.ceil(began + WINDOW - now))
        reset = math.ceil(began + WINDOW)
        return Verdict(used <= self._limit, self._limit, max(0, self._limit - used), reset, wait)

    def _drop_old(self, now: float) -> None:
        self._windows = {
            caller: window for caller, window in self._windows.items() if now - window[0] < WINDOW
        }
