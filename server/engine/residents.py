"""Which models stay on a device. Pure: no torch, no clock.

A model leaves when nobody has used it for a time, and the one that was used least recently when
there are too many. One that songs are going through never leaves, nor do those that stay.
"""

from collections.abc import Collection


class Residents:
    """Names of the models on one device.

    most: so many at once; idle_s: seconds after which an unused one leaves, 0 for never; stay: the
    names of those that never do.
    """

    def __init__(self, most: int, idle_s: float, stay: Collection[str]) -> None:
        self._most = most
        self._idle_s = idle_s
        self._stay = set(stay)
        self._used: dict[str, float] = {}  # when each was last used

    def use(self, names: Collection[str], now: float) -> None:
        """These are in use."""
        for name in names:
            self._used[name] = now

    def leave(self, name: str) -> None:
        """It is not here any more."""
        self._used.pop(name, None)

    def surplus(self, busy: Collection[str]) -> list[str]:
        """Those that must leave before another comes."""
        free = [name for name in self._least_recent() if name not in busy]
        return free[: max(0, len(self._used) + 1 - self._most)]

    def idle(self, busy: Collection[str], now: float) -> list[str]:
        """Those whose time is over."""
        self.use([name for name in busy if name in self._used], now)
        if not self._idle_s:
            return []
        return [name for name in self._least_recent() if self._used[name] + self._idle_s <= now]

    def next_idle(self, now: float) -> float | None:
        """Seconds until the next one's time is over; None where none's ever is."""
        waiting = self._least_recent()
        if not self._idle_s or not waiting:
            return None
        return max(0.0, self._used[waiting[0]] + self._idle_s - now)

    def _least_recent(self) -> list[str]:
        return sorted(self._used.keys() - self._stay, key=lambda name: self._used[name])
