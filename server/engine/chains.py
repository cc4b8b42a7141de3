"""A job's way through its models: once through one, as a rule; several where it has a preset.

Each inference is a song of the engine, which knows nothing of the others: its segments are batched
with those of all jobs that go through the same model. What lies between two is removed as soon as
none that follows reads it, and the tracks appear when all of them are done.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from server.engine.engine import Engine
from server.engine.models import Separator
from server.engine.songs.song import Song, start_song
from server.engine.songs.targets import signal_file
from server.presets.inferences import is_between, unwanted
from server.work.messages import Task
from server.work.scratch import parts_of

Cost = Callable[[str], float | None]
"""Seconds that a model takes for a second of segments, None as long as it is not known."""


class Chain:
    """One task's inferences.

    Attributes:
        done: the share of all inferences that is done, 0 to 1; never goes down.
        segments: how many have been through a model.
        peak: the highest sample of all tracks.
        frames: of the song.
    """

    def __init__(self, task: Task, cost: Cost = lambda model: None) -> None:
        self.task = task
        self.done = 0.0
        self.segments = 0
        self.peak = 0.0
        self.frames = 0
        self._cost = cost
        self._scratch = Path(task.scratch)
        options = task.options
        self._inferences = options.inferences
        self._models = [step.model for step in options.inferences] or [options.model]
        self._at = 0  # the inference that is under way, or next
        self._before = 0.0  # the share that was done when it began
        self._share = 1.0  # and its own

    @property
    def model(self) -> str:
        """Which model the next inference needs."""
        return self._models[self._at]

    @property
    def ahead(self) -> list[str]:
        """Which models the next inference needs, and those after it."""
        return self._models[self._at :]

    @property
    def over(self) -> bool:
        """Whether all inferences are done."""
        return self._at == len(self._models)

    def start(self, model: Separator) -> Song:
        """The next inference as a song. Raises as `start_song`."""
        if not self._at:
            self._sweep()
        costs = self._costs()
        self._before = self.done
        self._share = (1 - self.done) * costs[0] / sum(costs)
        step = self._inferences[self._at] if self._inferences else None
        return start_song(
            self.task.id, model, self._scratch, self.task.options, step, len(costs) - 1
        )

    def move(self, song: Song) -> None:
        """The inference's song has moved on, or is done. Raises OSError: its files are gone."""
        separation = song.separation
        self.done = max(self.done, self._before + self._share * separation.progress)
        if not separation.done:
            return
        self.segments += separation.cuts.count
        self.frames = separation.cuts.frames
        self.peak = max(self.peak, separation.peak)
        self._remove(unwanted(self._inferences, self._at))
        self._at += 1
        if self.over:
            self.done = 1.0
            for name in self._tracks():
                os.replace(signal_file(self._scratch, name), self._scratch / f"{name}.f32")

    def abandon(self) -> None:
        """Removes what was written so far: the job has failed, or is unwanted."""
        self._remove([signal.name for step in self._inferences for signal in step.signals])

    def _sweep(self) -> None:
        """Removes what attempts that died have left between inferences: it takes room, and nobody
        listens to it as to their tracks."""
        for name in unwanted(self._inferences, len(self._inferences) - 1):
            for left in parts_of(self._scratch / f"{name}.f32"):
                left.unlink(missing_ok=True)

    def _remove(self, names: list[str]) -> None:
        for name in names:
            with suppress(OSError):  # whoever removes the job removes what is left of it
                signal_file(self._scratch, name).unlink(missing_ok=True)

    def _tracks(self) -> list[str]:
        return [
            signal.name
            for step in self._inferences
            for signal in step.signals
            if not is_between(signal.name)
        ]

    def _costs(self) -> list[float]:
        """What this inference and those after it take, in proportion: where it is not known of a
        model, as much as the others on average."""
        left = range(self._at, len(self._models))
        costs = [self._paid(self._cost(self._models[place]), place) for place in left]
        known = [cost for cost in costs if cost]
        usual = sum(known) / len(known) if known else 1.0
        return [cost or usual for cost in costs]

    def _paid(self, cost: float | None, place: int) -> float | None:
        """With what is computed twice."""
        overlap = self._inferences[place].overlap if self._inferences else 0.0
        return None if cost is None else cost / (1 - overlap)


def run(
    chain: Chain, engine: Engine, model_of: Callable[[str], Separator],
    report: Callable[[float], None],
) -> None:  # fmt: skip
    """Runs a task's inferences in an engine that nobody else uses. Raises what they end with;
    nothing is left of them then."""
    try:
        while not chain.over:
            engine.add(chain.start(model_of(chain.model)))
            while not engine.idle:
                for song, error in engine.step():
                    if error is not None:
                        raise error
                    chain.move(song)
                    report(chain.done)
    except BaseException as error:
        engine.close(error)
        chain.abandon()
        raise
