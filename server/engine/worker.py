"""The separation worker: takes tasks from its channel into the engine and reports on them."""

import time
from pathlib import Path
from typing import Any

import structlog
import torch

from server.channel import Channel, ChannelClosed, failure
from server.config import Config
from server.engine.catalog import find, serving
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine, Song, start_song
from server.engine.models import Separator
from server.errors import Cancelled, ModelError
from server.messages import Cancel, Hello, Progress, Result, Started, Task

log = structlog.get_logger()


class SeparationWorker:
    """One device's models and the songs that go through them."""

    def __init__(self, config: Config, device: str) -> None:
        self._config = config
        self._device = torch.device(device)
        self._models: dict[str, Separator] = {}
        if self._device.type == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        self._max_batch = config.separation.batch_on(device)
        # The first job must not pay for the first forward, nor be killed for it.
        model = self._model(serving(config.pipeline.quality, config).name)
        self._step_s = model.warm_up(self._max_batch)

    def hello(self, name: str, pid: int) -> Hello:
        """What this worker says of itself when it connects."""
        slots = self._config.separation.max_jobs
        return Hello("separation", name, pid, str(self._device), slots, self._step_s)

    def serve(self, channel: Channel) -> None:
        """Separates what comes until the channel closes (ChannelClosed)."""
        engine = Engine(self._max_batch, self._device)
        try:
            while True:
                while engine.idle or channel.waiting():
                    self._receive(channel, engine)
                for song, error in engine.step():
                    self._report(channel, song, error)
        finally:
            engine.close(ChannelClosed("the API process is gone"))

    def _receive(self, channel: Channel, engine: Engine) -> None:
        message = channel.receive()
        if isinstance(message, Cancel):
            error = Cancelled("The job was cancelled")
            if engine.remove(message.id, error):
                channel.send(failure(message.id, error))
            return
        channel.send(Started(message.id))
        try:
            engine.add(self._song(message))
        except Exception as error:
            log.exception("separation not started", job=message.job, stage=message.stage)
            channel.send(failure(message.id, error))

    def _song(self, task: Task) -> Song:
        model = self._model(task.options.model)
        return start_song(task.id, model, Path(task.scratch), task.options)

    def _report(self, channel: Channel, song: Song, error: Exception | None) -> None:
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

    def _model(self, name: str) -> Separator:
        if name not in self._models:
            files = find(name, self._config)
            if files is None:
                raise ModelError(f"model {name} is not on this machine")
            began = time.monotonic()
            self._models[name] = Separator(files, self._device, self._config.separation.precision)
            log.info("model loaded", model=name, device=str(self._device),
                     load_s=round(time.monotonic() - began, 2))
        return self._models[name]
