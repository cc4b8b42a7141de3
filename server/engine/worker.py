"""The separation worker: takes tasks from its channel into the engine and reports on them."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import structlog
import torch
from msgspec import structs

from server.config import Config
from server.engine.card import prepare_card
from server.engine.catalog import ModelFiles, find, serving
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine, Song, start_song
from server.engine.models import Separator
from server.engine.reporting import Reporter
from server.engine.residents import Residents
from server.errors import Cancelled, ModelError
from server.work.channel import ChannelClosed, WorkerEnd, failure
from server.work.messages import Cancel, Hello, Progress, Result, Started, Task
from server.work.scratch import SAMPLE_RATE

log = structlog.get_logger()


BEAT_S = 2.0


@contextmanager
def beating(beat: Callable[[], None], patience: float) -> Iterator[None]:
    """Calls `beat` again and again meanwhile, from another thread; no longer than `patience`
    seconds, after which whoever listens may give us up."""
    over = Event()

    def run() -> None:
        end = time.monotonic() + patience
        while not over.wait(BEAT_S) and time.monotonic() < end:
            with suppress(ChannelClosed):  # this thread's own next word will find out
                beat()

    thread = Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class SeparationWorker:
    """One device's models and the songs that go through them."""

    def __init__(self, config: Config, device: str) -> None:
        self._config = config
        self._device = torch.device(device)
        self._models: dict[str, Separator] = {}
        self._load_s: dict[str, float] = {}
        settings, stays = config.separation, serving(config.pipeline.quality, config).name
        self._residents = Residents(settings.max_models, settings.model_idle_seconds, stays)
        if self._device.type == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        if self._device.type == "cuda":
            prepare_card(self._device)
        self._engine = Engine(config.separation.batch_on(device), self._device)
        self._reporter = Reporter(self._engine, self._device)
        # The first job must not pay for the first forward, nor be killed for it.
        self._engine.max_batch, self._step_s = self._warm_up(self._model(stays))
        self._hello: Hello | None = None

    def hello(self, name: str, pid: int) -> Hello:
        """What this worker says of itself when it connects."""
        slots = self._config.separation.max_jobs
        self._hello = Hello("separation", name, pid, str(self._device), slots,
                            step_s=self._step_s, models=dict(self._load_s))
        return self._hello

    def serve(self, channel: WorkerEnd) -> None:
        """Separates what comes until the channel closes (ChannelClosed)."""
        engine = self._engine
        try:
            while True:
                # At once before it sleeps: nobody else would tell what it did last.
                self._reporter.tell(channel, self._models.values(), now=engine.idle)
                while engine.idle or channel.waiting():
                    if channel.waiting(self._residents.next_idle(time.monotonic())):
                        self._receive(channel)
                    self._let_go(channel)
                for song, error in engine.step():
                    self._report(channel, song, error)
                self._let_go(channel)
        finally:
            engine.close(ChannelClosed("the API process is gone"))

    def _warm_up(self, model: Separator) -> tuple[int, float]:
        """The largest batch that a model has room for, once idle ones have made some, and seconds
        of a forward of it.

        Raises torch.OutOfMemoryError if there is no room for one segment.
        """
        batch = self._engine.max_batch
        while True:
            try:
                return batch, model.warm_up(batch)
            except torch.OutOfMemoryError:
                if batch == 1 and not self._idle_beside(model.name):
                    raise
            # Only here is nothing of the failed forward on the card any more.
            if not self._make_room(model.name):
                batch //= 2
                log.warning("out of memory: smaller batches", model=model.name, max_batch=batch)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _prepare(self, name: str) -> float:
        """Loads a model and warms it up; seconds of a forward of its largest batch. One that fails
        is forgotten, so that whoever asks next does not get it cold."""
        model = self._model(name)
        try:
            batch, seconds = self._warm_up(model)
        except Exception:
            self._forget([name])
            raise
        if batch < self._engine.max_batch:
            self._engine.bounds[name] = batch
        return seconds

    def _receive(self, channel: WorkerEnd) -> None:
        message = channel.receive()
        if isinstance(message, Cancel):
            error = Cancelled("The job was cancelled")
            if self._engine.remove(message.id, error):
                channel.send(failure(message.id, error))
            return
        channel.send(Started(message.id))
        try:
            self._engine.add(self._song(message, channel))
        except Exception as error:
            self._fail(channel, message.id, error, job=message.job, stage=message.stage)

    def _song(self, task: Task, channel: WorkerEnd) -> Song:
        name = task.options.model
        if name not in self._models:
            # Loading takes seconds, in which a worker that says nothing would pass for stalled, and
            # nobody knows yet how long the model's forwards take.
            patience = self._config.server.start_seconds
            try:
                with beating(lambda: channel.send(Progress(task.id, 0.0)), patience):
                    self._step_s = max(self._step_s, self._prepare(name))
            finally:
                self._tell(channel)  # others may have left for it
        self._residents.use([name], time.monotonic())
        return start_song(task.id, self._models[name], Path(task.scratch), task.options)

    def _report(self, channel: WorkerEnd, song: Song, error: Exception | None) -> None:
        if error is not None:
            self._fail(channel, song.name, error)
        elif song.separation.done:
            seconds = time.monotonic() - song.began
            facts: dict[str, Any] = {
                "stems": list(song.separation.stems), "model": song.model.name,
                "segments": song.separation.cuts.count, "separate_s": round(seconds, 3),
                "peak": song.separation.peak,
                "seconds": round(song.separation.cuts.frames / SAMPLE_RATE, 3),
            }
            channel.send(Result(song.name, facts))
        else:
            channel.send(Progress(song.name, song.separation.progress))

    def _fail(self, channel: WorkerEnd, task: str, error: Exception, **about: str) -> None:
        if isinstance(error, FileNotFoundError):  # a job that was cancelled takes its files along
            log.info("separation ended: the job's files are gone", task=task, **about)
        else:
            log.error("separation failed", task=task, exc_info=error, **about)
        channel.send(failure(task, error))

    def _tell(self, channel: WorkerEnd) -> None:
        """Says anew what this worker is."""
        if self._hello is not None:
            self._hello = structs.replace(self._hello, step_s=self._step_s,
                                          models=dict(self._load_s))  # fmt: skip
            channel.send(self._hello)

    def _let_go(self, channel: WorkerEnd) -> None:
        """Forgets the models whose time is over."""
        if idle := self._residents.idle(self._engine.models, time.monotonic()):
            self._forget(idle)
            self._tell(channel)

    def _forget(self, names: list[str]) -> None:
        before = self._allocated()
        for name in names:
            del self._models[name], self._load_s[name]
            self._engine.bounds.pop(name, None)
            self._residents.leave(name)
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        log.info("models left", models=names, device=str(self._device),
                 freed_mb=(before - self._allocated()) >> 20)

    def _allocated(self) -> int:
        """Bytes on the card, 0 on a CPU."""
        cuda = self._device.type == "cuda"
        return torch.cuda.memory_allocated(self._device) if cuda else 0

    def _model(self, name: str) -> Separator:
        if name not in self._models:
            files = find(name, self._config)
            if files is None:
                raise ModelError(f"model {name} is not on this machine")
            began = time.monotonic()
            if surplus := self._residents.surplus(self._engine.models):
                self._forget(surplus)
            self._models[name] = self._load(files)
            self._load_s[name] = round(time.monotonic() - began, 2)
            self._residents.use([name], time.monotonic())
            log.info("model loaded", model=name, device=str(self._device),
                     reduced_precision=self._models[name].reduced, load_s=self._load_s[name],
                     allocated_mb=self._allocated() >> 20)
        return self._models[name]

    def _load(self, files: ModelFiles) -> Separator:
        precision = self._config.separation.precision
        with suppress(torch.OutOfMemoryError):
            return Separator(files, self._device, precision)
        self._make_room(files.name)
        return Separator(files, self._device, precision)

    def _make_room(self, name: str) -> bool:
        """Forgets the idle models beside this one; whether there were any."""
        idle = self._idle_beside(name)
        if idle:
            log.warning("out of memory: forgetting models", models=idle)
            self._forget(idle)
        return bool(idle)

    def _idle_beside(self, name: str) -> list[str]:
        """The models but this one that no song is going through."""
        busy = {*self._engine.models, name}
        return [other for other in self._models if other not in busy]
