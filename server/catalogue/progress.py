"""How far a run is: counts, speed, time left. Pure: the clock is an argument."""

from collections import deque
from typing import Final

WINDOW: Final = 120.0  # seconds that the speed is a mean over


class Meter:
    """Counts the songs of a run of `total`, of which `there` were in the manifest before."""

    def __init__(self, total: int, there: int, now: float) -> None:
        self.total = total
        self.there = there
        self.made = self.same = self.failed = 0
        self.audio = 0.0  # seconds of songs that were made
        self._began = now
        self._recent: deque[tuple[float, float]] = deque()  # when, and seconds of audio

    def add(self, audio: float, now: float, same: bool = False) -> None:
        """A song is done; `same`: another one's result is its own too."""
        self.made, self.same = self.made + (not same), self.same + same
        if not same:
            self.audio += audio
            self._recent.append((now, audio))

    def fail(self) -> None:
        """A song is given up."""
        self.failed += 1

    @property
    def done(self) -> int:
        """Songs that nothing more becomes of."""
        return self.there + self.made + self.same + self.failed

    def speed(self, now: float) -> float:
        """Seconds of audio in a second, over the last two minutes."""
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        span = min(WINDOW, now - self._began)
        return sum(audio for _, audio in self._recent) / span if span > 0 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """By the songs of this run so far, None before the first."""
        ended = self.made + self.same + self.failed
        if not ended:
            return None
        return (now - self._began) / ended * (self.total - self.done)

    def line(self, now: float) -> str:
        """For people."""
        left = self.seconds_left(now)
        parts = [f"{self.done}/{self.total} songs", f"{self.speed(now):.1f} s of audio a second"]
        if self.there:
            parts.append(f"{self.there} were there")
        if self.same:
            parts.append(f"{self.same} the same as others")
        parts.append(f"{self.failed} failed")
        parts.append(f"{_clock(left)} left" if left is not None else "begins")
        return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
