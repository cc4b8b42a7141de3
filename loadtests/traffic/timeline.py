"""Answer times by route over time, and the jobs that are under way. Pure: the clock is given."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

BUCKET: Final = 5.0  # seconds

Histogram = Counter[int]
"""How often each whole number of milliseconds was."""


def percentile(histogram: Histogram, share: float) -> float:
    """The milliseconds within which this share of the answers came; 0.0 of none."""
    wanted = share * histogram.total()
    seen = 0
    for ms in sorted(histogram):
        seen += histogram[ms]
        if seen >= wanted:
            return float(ms)
    return 0.0


class Timeline:
    """Histograms by route for every few seconds of a run."""

    def __init__(self) -> None:
        self.buckets: defaultdict[int, defaultdict[str, Histogram]] = defaultdict(
            lambda: defaultdict(Counter)
        )

    def add(self, at: float, route: str, ms: float) -> None:
        """Books one answer at `at` seconds of the run."""
        self.buckets[int(at // BUCKET)][route][round(ms)] += 1

    def between(self, start: float, end: float, route: str) -> Histogram:
        """All answers of a route in the buckets that lie within these seconds."""
        found: Histogram = Counter()
        for bucket, routes in self.buckets.items():
            if start <= bucket * BUCKET and (bucket + 1) * BUCKET <= end and route in routes:
                found += routes[route]
        return found

    def series(self, route: str, share: float) -> list[tuple[float, float]]:
        """(seconds, milliseconds) of each bucket in which the route was asked."""
        return [(bucket * BUCKET, percentile(self.buckets[bucket][route], share))
                for bucket in sorted(self.buckets) if route in self.buckets[bucket]]  # fmt: skip


class Queue(NamedTuple):
    """Jobs that were accepted and have not ended, of which so many have not begun; the age in
    seconds of the oldest that has not."""

    unfinished: int
    waiting: int
    oldest_s: float

    @classmethod
    def of_all(cls, queues: Sequence["Queue"]) -> "Queue":
        """Of several load machines."""
        unfinished, waiting, ages = zip(*queues, strict=True) if queues else ((), (), ())
        return cls(sum(unfinished), sum(waiting), max(ages, default=0.0))


class Journal:
    """What became of the jobs that were posted."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.audio_seconds = 0.0
        self.longest_wait_s = 0.0
        self._waiting: dict[str, float] = {}
        self._running: set[str] = set()

    def accepted(self, job_id: str, now: float, watched: bool = True) -> None:
        """A job was posted. Of one that nobody watches it is not known when it begins."""
        if watched:
            self._waiting[job_id] = now
        else:
            self._running.add(job_id)

    def begun(self, job_id: str, now: float) -> float | None:
        """A job is seen to run: how long it waited, the first time."""
        since = self._waiting.pop(job_id, None)
        if since is None:
            return None
        self._running.add(job_id)
        self.longest_wait_s = max(self.longest_wait_s, now - since)
        return now - since

    def ended(self, job_id: str, outcome: str, audio_seconds: float) -> None:
        """A job is over: completed, failed, cancelled or given up (by who waited for it)."""
        self._waiting.pop(job_id, None)
        self._running.discard(job_id)
        self.outcomes[outcome] += 1
        if outcome == "completed":
            self.audio_seconds += audio_seconds

    def left(self, job_id: str) -> None:
        """Nobody watches a job any more: how long it waits is not seen."""
        self._waiting.pop(job_id, None)
        self._running.discard(job_id)

    def queue(self, now: float) -> Queue:
        """What is under way."""
        oldest = now - min(self._waiting.values(), default=now)
        return Queue(len(self._waiting) + len(self._running), len(self._waiting), oldest)

    def report(self) -> dict[str, Any]:
        """What a load machine tells its master, from the start on."""
        return {"outcomes": dict(self.outcomes), "audio_seconds": self.audio_seconds,
                "longest_wait_s": self.longest_wait_s}  # fmt: skip
