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
STARTS: Final = 6  # of a model in a row whose process dies before it is loaded, or its machine
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
        self._left = list(stations)  # that take songs, or will when they are up
        self._up: list[Station] = []
        self._steps: dict[Ref, Step] = {}
        self._run = os.urandom(4).hex()
        self._attempts = 0

    def run(self, report: Callable[[], None]) -> None:
        """Until every song has its row; `report` is called now and then.

        Raises:
            StemboxError: no model can be loaded, no machine can take songs, or the manifest cannot
                be written.
        """
        for station in self._stations:
            self._start(station)
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
            self._failed(step.station, step.song, answer)
            return
        step.does(step, answer)

    def _failed(self, station: Station, song: Song, answer: Failure) -> None:
        song.version = answer.version or song.version
        if answer.kind == "station":
            self._flow.put_back(song)
            if station in self._left:  # the first of its songs to say so
                self._leave(station, answer.reason)
            return
        again = {"internal": self._flow.fail, "missing": self._flow.miss}.get(answer.kind)
        if again is None or again(song):
            self._give_up(song, answer.reason)

    def _leave(self, station: Station, reason: str) -> None:
        """Gives a station no more songs. Raises StemboxError: none is left."""
        self._left.remove(station)
        self._flow.close(station.number)
        if not self._left:
            raise StemboxError(reason)
        log.error("going on without a station", station=station.number, reason=reason)

    def _broken(self, step: Step, error: RayError) -> None:
        """A process died, or a machine."""
        if step.does == self._hello:
            (before,) = step.more
            if isinstance(error, STATION) and before + 1 < STARTS:
                self._start(step.station, before + 1)
                return
            reason = str(error).strip().splitlines()[-1]
            self._leave(step.station, f"The model cannot be started: {reason}")
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
        if station in self._left:
            self._start(station)

    def _start(self, station: Station, before: int = 0) -> None:
        self._steps[station.start()] = Step(self._hello, station, more=(before,))

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
        if song.number in self._job.known and not song.version:
            log.warning("a song could not be read: its earlier row stays", song=song.entry.input,
                        reason=reason)  # fmt: skip
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
