"""A run: hands songs to stations and keeps what becomes of them. Holds no audio and no model.

Ray Core and not Ray Data: a song's stages must run on one machine, over paths of its scratch, and
fail one by one, each with a reason. Ray Data moves blocks of rows between any machines, and
repeats or drops whole blocks.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import ray
import structlog
from msgspec import Struct
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from server.catalogue.flow import Flow, Song
from server.catalogue.keys import Recipe
from server.catalogue.manifest import Parts
from server.catalogue.orders import Failure, Order, Prepared, Separated, Unchanged
from server.catalogue.progress import Meter
from server.catalogue.rows import Made, Row
from server.catalogue.station import Ref, Station
from server.errors import StemboxError

log = structlog.get_logger()
TICK: Final = 0.5  # seconds between two looks at the clock
CRASHED: Final = "The process that read or encoded it died, each time that it was tried"
ALONE: Final = "The process that separated it died, each time that it was tried, at last alone"
STATION: Final = (RayActorError, NodeDiedError, TaskUnschedulableError)  # is gone, or its machine


class Job(Struct, frozen=True):
    """What every order of a run has in common."""

    output: str
    recipe: Recipe
    known: dict[int, str]  # versions that the manifest has results of, by a song's number
    max_seconds: float
    memory_mb: int


class Step(Struct, frozen=True):
    """What a reference of Ray's stands for: one stage of a song, or a station's sign of life."""

    does: Callable[..., None]
    station: Station
    song: Song | None = None
    more: tuple[Any, ...] = ()


class Driver:
    """The songs of one run, through `stations`."""

    def __init__(
        self, job: Job, flow: Flow, stations: list[Station], parts: Parts, meter: Meter,
    ) -> None:  # fmt: skip
        self._job, self._flow, self._parts, self._meter = job, flow, parts, meter
        self._stations = stations
        self._up: list[Station] = []
        self._steps: dict[Ref, Step] = {}
        self._run = os.urandom(4).hex()
        self._attempts = 0

    def run(self, report: Callable[[], None]) -> None:
        """Until every song has its row; `report` is called now and then.

        Raises:
            StemboxError: no model can be loaded, or the manifest cannot be written.
        """
        for station in self._stations:
            self._steps[station.hello()] = Step(self._hello, station)
        while self._flow.left:
            for station in self._up:
                while song := self._flow.take(station.number):
                    self._begin(station, song)
            self._wait()
            report()

    def close(self) -> None:
        """Ends what is under way and removes it from the machines."""
        self._cancel([ref for ref, step in self._steps.items() if step.song is not None])
        swept = [station.sweep(os.path.dirname(station.folder)) for station in self._up]
        ray.wait(swept, num_returns=len(swept), timeout=20) if swept else None
        for station in self._stations:
            station.close()

    def _wait(self) -> None:
        ready, _ = ray.wait(list(self._steps), num_returns=1, timeout=TICK)
        if ready:
            ready, _ = ray.wait(list(self._steps), num_returns=len(self._steps), timeout=0)
        for ref in ready:
            if (step := self._steps.pop(ref, None)) is None:
                continue  # its station died a moment ago
            try:
                answer = ray.get(ref)
            except RayError as error:
                self._broken(step, error)
            else:
                self._answered(step, answer)

    def _answered(self, step: Step, answer: Any) -> None:
        if isinstance(answer, Failure):
            assert step.song is not None
            self._sweep(step)
            if answer.kind == "input" or self._flow.fail(step.song):
                self._give_up(step.song, answer.reason)
            return
        step.does(step, answer)

    def _broken(self, step: Step, error: RayError) -> None:
        """A process died, or a machine."""
        if step.does == self._hello:
            reason = str(error).strip().splitlines()[-1]
            others = any(other.does == self._hello for other in self._steps.values())
            if not self._up and not others:
                raise StemboxError(f"The model cannot be started: {reason}") from None
            log.error("a station cannot be started: going on without it",
                      station=step.station.number, reason=reason)  # fmt: skip
            return
        if step.song is None or isinstance(error, STATION):
            self._lose(step.station)
            return
        self._sweep(step)
        crash = isinstance(error, WorkerCrashedError | OutOfMemoryError)
        self._give_up(step.song, CRASHED if crash else type(error).__name__)

    def _lose(self, station: Station) -> None:
        self._up.remove(station)
        gone = [ref for ref, step in self._steps.items() if step.station is station]
        self._cancel([ref for ref in gone if self._steps[ref].song is not None])
        for ref in gone:
            del self._steps[ref]
        for song in self._flow.lose(station.number):
            self._give_up(song, ALONE)
        self._steps[station.hello()] = Step(self._hello, station)

    def _cancel(self, refs: list[Ref]) -> None:
        for ref in refs:
            try:
                ray.cancel(ref, force=self._steps[ref].does != self._separated)
            except (RayError, ValueError):
                continue  # it has ended by itself

    # one method for each step's answer

    def _hello(self, step: Step, _: str) -> None:
        self._up.append(step.station)
        self._flow.open(step.station.number)
        self._steps[step.station.watch()] = Step(self._died, step.station)

    def _died(self, step: Step, _: object) -> None:
        raise AssertionError("who watches is told by an error")

    def _begin(self, station: Station, song: Song) -> None:
        self._attempts += 1
        name = f"{self._run}-{self._attempts}"
        job = self._job
        order = Order(
            name=name, location=song.entry.input, known=job.known.get(song.number, ""),
            folder=f"{station.folder}/{name}", output=job.output, recipe=job.recipe,
            max_seconds=job.max_seconds, memory_mb=job.memory_mb,
        )  # fmt: skip
        self._steps[station.prepare(order)] = Step(self._prepared, station, song, (order,))

    def _prepared(self, step: Step, answer: Prepared | Unchanged) -> None:
        song, station, (order,) = step.song, step.station, step.more
        assert song is not None
        if isinstance(answer, Unchanged):
            self._meter.there += len(self._flow.end(song))
            return
        song.version = answer.version
        if answer.made is not None:
            self._found(song, answer.made)
        elif self._flow.claim(song, answer.key):
            self._steps[station.separate(order)] = Step(
                self._separated, station, song, (order, answer))
        else:
            self._sweep(step)

    def _separated(self, step: Step, answer: Separated) -> None:
        order, prepared = step.more
        ref = step.station.deliver(order, prepared, answer)
        self._steps[ref] = Step(self._delivered, step.station, step.song, step.more)

    def _delivered(self, step: Step, answer: Made) -> None:
        assert step.song is not None
        self._finish(step.song, answer)

    def _finish(self, song: Song, made: Made) -> None:
        now = time.monotonic()
        for place, one in enumerate(self._flow.end(song)):
            self._parts.add(self._row(one, made=made))
            self._meter.add(made.duration, now, same=place > 0)

    def _found(self, song: Song, made: Made) -> None:
        """Its result is there: of an earlier run, or another name's of this one."""
        for one in self._flow.end(song):
            self._parts.add(self._row(one, made=made))
            self._meter.there += 1

    def _give_up(self, song: Song, reason: str) -> None:
        for one in self._flow.end(song):
            self._parts.add(self._row(one, error=reason))
            self._meter.fail()

    def _row(self, song: Song, made: Made | None = None, error: str | None = None) -> Row:
        entry, recipe = song.entry, self._job.recipe
        return Row(
            input=entry.input, occurrence=entry.occurrence, version=song.version,
            model=recipe.model, model_digest=recipe.digest, options=recipe.options,
            finished=datetime.now(UTC), made=made, error=error, others=entry.others,
        )  # fmt: skip

    def _sweep(self, step: Step) -> None:
        if step.more:
            step.station.sweep(step.more[0].folder)
