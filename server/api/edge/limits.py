"""How many requests a caller may make: fixed windows of a minute. Exact, because one process
answers all of them. Pure: the clock is an argument, and is one that only goes forward."""

import math
from typing import Final, NamedTuple

WINDOW: Final = 60.0  # seconds, from a caller's first request on
DROP_PAUSE: Final = 1.0  # seconds: it looks at all of them
FLOOD: Final = "\n"  # no caller's name
MOST_CALLERS: Final = 100_000  # remembered at once; beyond, windows that are over are dropped


class Verdict(NamedTuple):
    """`reset`: when the window ends, by the clock that counts; `wait`: seconds until then."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    wait: int


def standard_headers(policy: str, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit`: how many requests in which time, what is left, and for
    how many seconds. Source: draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651).

    policy: names the limit, in letters.
    """
    name = policy.encode()
    return [
        (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (name, verdict.limit, WINDOW)),
        (b"ratelimit", b'"%s";r=%d;t=%d' % (name, verdict.remaining, verdict.wait)),
    ]


class RateLimit:
    """`limit` requests in a window for each caller, unless he has a limit of his own."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[float, int]] = {}  # caller: when it began, requests so far
        self._dropped = -math.inf  # when windows were dropped last

    def count(self, caller: str, now: float, own: int | None = None) -> Verdict:
        """Counts one request of this caller; `own`: his own limit."""
        limit = self._limit if own is None else own
        began, used = self._window(caller, now)
        if caller not in self._windows and len(self._windows) >= MOST_CALLERS:
            if now - self._dropped >= DROP_PAUSE:
                self._dropped = now
                self._drop_old(now)
            if len(self._windows) >= MOST_CALLERS:  # a flood: who is new shares one window
                caller = FLOOD
                began, used = self._window(caller, now)
        used += 1
        self._windows[caller] = (began, used)
        wait = math.ceil(WINDOW - (now - began))  # in this order no rounding makes it longer
        return Verdict(used <= limit, limit, max(0, limit - used), began + WINDOW, wait)

    def _window(self, caller: str, now: float) -> tuple[float, int]:
        began, used = self._windows.get(caller, (now, 0))
        return (began, used) if 0 <= now - began < WINDOW else (now, 0)  # over, or another clock

    def _drop_old(self, now: float) -> None:
        self._windows = {
            caller: window for caller, window in self._windows.items() if now - window[0] < WINDOW
        }
