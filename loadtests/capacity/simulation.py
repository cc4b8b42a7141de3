"""A box that works off songs, as a fluid: what runs shares the cores, until the next thing happens.

The rules are the server's: audio workers run the stages that are due first and leave a longer one
for them; of the separation three parts of four go to the song that is nearest its end, and the
fourth to all in turn; a job is due as long after its posting as it lasts. Pure: no clock, no
chance.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from loadtests.capacity.costs import Kind, Measured, cost_of
from server.engine.batching import FAIR

NOTHING: Final = 1e-9


class Box(NamedTuple):
    """`audio_workers` of one thread each; a separation of `threads`, shared by `slots` songs.

    Threads wait for each other: of the cores that they hold they use the share `efficiency`. Of
    what they do the share `nearest` is for the song that is nearest its end."""

    cores: float
    audio_workers: int
    threads: float
    efficiency: float = 1.0
    nearest: float = 1 - 1 / FAIR
    slots: int = 32


class Work(NamedTuple):
    """One stage: core-seconds in a pool, after the stages it needs. Nobody waits for a late one."""

    name: str
    pool: str
    core_s: float
    needs: Sequence[str] = ()
    late: bool = False


class Arrival(NamedTuple):
    """A job that comes at `at`, of a song of `seconds`."""

    at: float
    seconds: float
    work: Sequence[Work]


class Outcome(NamedTuple):
    """Seconds from a job's posting until a worker took it up, and until it was done."""

    waited: float
    lasted: float


@dataclass
class _Job:
    arrival: Arrival
    left: dict[str, float]
    ended: set[str] = field(default_factory=set)
    began: float | None = None
    done: float | None = None

    def ready(self, pool: str) -> Iterator[tuple[float, int, "_Job", Work]]:
        """Its stages that could run, by when they are due."""
        due = self.arrival.at + self.arrival.seconds
        for position, work in enumerate(self.arrival.work):
            if work.pool == pool and work.name in self.left and self.ended.issuperset(work.needs):
                yield due, position, self, work

    def end(self, work: Work, now: float) -> None:
        """A stage is done."""
        del self.left[work.name]
        self.ended.add(work.name)
        if self.done is None and all(w.late for w in self.arrival.work if w.name in self.left):
            self.done = now


def simulate(arrivals: Sequence[Arrival], box: Box) -> list[Outcome]:
    """What becomes of each job, in the order of the arrivals."""
    jobs = [_Job(arrival, {work.name: work.core_s for work in arrival.work})
            for arrival in arrivals]  # fmt: skip
    coming = sorted(jobs, key=lambda job: job.arrival.at, reverse=True)
    here: list[_Job] = []
    now = 0.0
    while coming or here:
        rates = _rates(here, box)
        step = min((job.left[work.name] / rate for job, work, rate in rates), default=float("inf"))
        if coming and coming[-1].arrival.at <= now + step:
            step = max(0.0, coming[-1].arrival.at - now)
        for job, work, rate in rates:
            job.began = now if job.began is None else job.began
            job.left[work.name] -= rate * step
        now += step
        for job, work, _ in rates:
            if job.left[work.name] <= NOTHING:
                job.end(work, now)
        here = [job for job in here if job.left]
        while coming and coming[-1].arrival.at <= now:
            here.append(coming.pop())
    return [Outcome((job.began or 0.0) - job.arrival.at, (job.done or 0.0) - job.arrival.at)
            for job in jobs]  # fmt: skip


def _rates(here: list[_Job], box: Box) -> list[tuple[_Job, Work, float]]:
    """What runs, and how many core-seconds a second it gets."""
    def first(pool: str, most: int) -> list[tuple[_Job, Work]]:
        ready = sorted((entry for job in here for entry in job.ready(pool)),
                       key=lambda entry: entry[:2])  # fmt: skip
        return [(job, work) for _, _, job, work in ready[:most]]

    audio, separating = first("audio", box.audio_workers), first("separation", box.slots)
    wanted = len(audio) + (box.threads if separating else 0.0)
    share = min(1.0, box.cores / wanted) if wanted else 0.0
    used = share * box.threads * box.efficiency
    rates = [(job, work, share) for job, work in audio]
    separating.sort(key=lambda one: one[0].left[one[1].name])
    for place, (job, work) in enumerate(separating):
        rate = used * (1 - box.nearest) / len(separating) + used * box.nearest * (place == 0)
        rates += [(job, work, rate)] if rate else []
    return rates


def box_of(measured: Measured, cores: float | None = None) -> Box:
    """The machine that was measured, or so many of its cores."""
    return Box(cores or measured.cores, measured.cores, measured.threads, measured.efficiency)


def work_of(kind: Kind, seconds: float, measured: Measured) -> list[Work]:
    """A job's stages with what they cost."""
    return [Work(stage.name, stage.pool, cost_of(stage, kind.model, measured).of(seconds),
                 stage.needs, stage.late) for stage in kind.plan]  # fmt: skip


def poisson(
    kind: Kind, a_minute: float, lengths: Sequence[float], weights: Sequence[float],
    minutes: float, seed: int, measured: Measured,
) -> list[Arrival]:  # fmt: skip
    """Jobs that come at random, so many a minute on average, of songs of these lengths."""
    chance, at, found = random.Random(seed), 0.0, []
    while (at := at + chance.expovariate(a_minute / 60)) < 60 * minutes:
        seconds = chance.choices(lengths, weights)[0]
        found.append(Arrival(at, seconds, work_of(kind, seconds, measured)))
    return found
