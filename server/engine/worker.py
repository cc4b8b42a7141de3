"""The separation worker: takes tasks from its channel into the engine and reports on them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import torch

from server.config import Config
from server.engine.card import prepare_card
from server.engine.catalog import ModelFiles, find, serving
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine, Song, start_song
from server.engine.models import Separator
from server.errors import Cancelled, ModelError
from server.work.channel import ChannelClosed, WorkerEnd, failure
from server.work.messages import Cancel, Hello, Progress, Result, Started, Task

log = structlog.get_logger()


class SeparationWorker:
    """One device's models and the songs that go through them."""

    def __init__(self, config: Config, device: str) -> None:
        self._config = config
        self._device = torch.device(device)
        self._models: dict[str, Separator] = {}
        if self._device.type == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        if self._device.type == "cuda":
            prepare_card(self._device)
        self._engine = Engine(config.separation.batch_on(device), self._device)
        # The first job must not pay for the first forward, nor be killed for it.
        model = self._model(serving(config.pipeline.quality, config).name)
        self._step_s = self._warm_up(model)

    def hello(self, name: str, pid: int) -> Hello:
        """What this worker says of itself when it connects."""
        slots = self._config.separation.max_jobs
        return Hello("separation", name, pid, str(self._device), slots, step_s=self._step_s)

    def serve(self, channel: WorkerEnd) -> None:
        """Separates what comes until the channel closes (ChannelClosed)."""
        engine = self._engine
        try:
            while True:
                while engine.idle or channel.waiting():
                    self._receive(channel)
                for song, error in engine.step():
                    self._report(channel, song, error)
        finally:
            engine.close(ChannelClosed("the API process is gone"))

    def _warm_up(self, model: Separator) -> float:
        """Seconds of a forward of the largest batch, which a small card may have to make smaller.

        Raises torch.OutOfMemoryError if there is no room for one segment.
        """
        while True:
            try:
                return model.warm_up(self._engine.max_batch)
            except torch.OutOfMemoryError:
                if self._engine.max_batch == 1:
                    raise
            self._engine.max_batch //= 2
            log.warning("out of memory: smaller batches", max_batch=self._engine.max_batch)
            torch.cuda.empty_cache()

    def _receive(self, channel: WorkerEnd) -> None:
        message = channel.receive()
        if isinstance(message, Cancel):
            error = Cancelled("The job was cancelled")
            if self._engine.remove(message.id, error):
                channel.send(failure(message.id, error))
            return
        channel.send(Started(message.id))
        try:
            # Loading takes seconds, in which a worker that says nothing would pass for stalled.
            self._engine.add(self._song(message, lambda: channel.send(Progress(message.id, 0.0))))
        except Exception as error:
            log.exception("separation not started", job=message.job, stage=message.stage)
            channel.send(failure(message.id, error))

    def _song(self, task: Task, alive: Callable[[], None]) -> Song:
        model = self._model(task.options.model, alive)
        return start_song(task.id, model, Path(task.scratch), task.options)

    def _report(self, channel: WorkerEnd, song: Song, error: Exception | None) -> None:
        if error is not None:
            log.error("separation failed", task=song.name, exc_info=error)
            channel.send(failure(song.name, error))
        elif song.separation.done:
            seconds = time.monotonic() - song.began
            facts: dict[str, Any] = {
                "stems": list(song.separation.stems), "model": song.model.name,
                "segments": song.separation.cuts.count, "separate_s": round(seconds, 3),
                "peak": song.separation.peak,
            }
            channel.send(Result(song.name, facts))
        else:
            channel.send(Progress(song.name, song.separation.progress))

    def _model(self, name: str, alive: Callable[[], None] = lambda: None) -> Separator:
        if name not in self._models:
            files = find(name, self._config)
            if files is None:
                raise ModelError(f"model {name} is not on this machine")
            began = time.monotonic()
            try:
                self._models[name] = self._load(files, alive)
            except torch.OutOfMemoryError:
                self._make_room()
                self._models[name] = self._load(files, alive)
            log.info("model loaded", model=name, device=str(self._device),
                     reduced_precision=self._models[name].reduced,
                     load_s=round(time.monotonic() - began, 2))
        return self._models[name]

    def _load(self, files: ModelFiles, alive: Callable[[], None]) -> Separator:
        return Separator(files, self._device, self._config.separation.precision, alive)

    def _make_room(self) -> None:
        """Forgets the models that no song is going through."""
        busy = self._engine.models
        idle = [name for name in self._models if name not in busy]
        log.warning("out of memory: forgetting models", models=idle)
        for name in idle:
            del self._models[name]
        torch.cuda.empty_cache()
