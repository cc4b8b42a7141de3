"""The separation worker: takes tasks from its channel into the engine and reports on them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Event, Thread
from typing import Any

import structlog
import torch
from msgspec import structs

from server.config import Config
from server.engine.card import check_device, prepare_card
from server.engine.chains import Chain
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.library.choice import serving
from server.engine.loaded import LoadedModels
from server.engine.reporting import Reporter
from server.engine.songs.song import Song
from server.errors import Cancelled
from server.sound import SAMPLE_RATE
from server.work.channel import ChannelClosed, WorkerEnd, failure
from server.work.messages import Cancel, Hello, Progress, Result, Started

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


class Job:
    """A task that this worker has: its way through the models, and since when."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.began = time.monotonic()


class SeparationWorker:
    """One device's models and the songs that go through them.

    stay: the models that are there from the start, and stay as they are; by default what serves the
    pipeline, and what takes its place.
    """

    def __init__(self, config: Config, device: str, stay: Sequence[str] = ()) -> None:
        self._config = config
        self._device = torch.device(device)
        if self._device.type == "cpu":
            prepare_cpu(config.separation.cpu_threads)
        if self._device.type == "cuda":
            prepare_card(self._device)
        self._engine = Engine(config.separation.batch_on(device), self._device)
        self._reporter = Reporter(self._engine, self._device)
        self._jobs: dict[str, Job] = {}  # by task
        served = stay or [model.name for model in serving(config.pipeline.quality, config).models]
        self._models = LoadedModels(config, self._device, self._engine, served, fixed=stay)
        self._hello: Hello | None = None

    def hello(self, name: str, pid: int) -> Hello:
        """What this worker says of itself when it connects."""
        slots = self._config.separation.max_jobs
        self._hello = Hello("separation", name, pid, str(self._device), slots,
                            step_s=self._models.step_s, models=self._models.describe())
        return self._hello

    def serve(self, channel: WorkerEnd) -> None:
        """Separates what comes until the channel closes (ChannelClosed)."""
        engine = self._engine
        engine.loading = lambda song: self._loading(channel, self._jobs[song.name].chain)
        try:
            while True:
                # At once before it sleeps: nobody else would tell what it did last.
                self._reporter.tell(channel, now=engine.idle)
                while engine.idle or channel.waiting():
                    if channel.waiting(self._models.next_idle()):
                        self._receive(channel)
                    self._let_go(channel)
                # What comes next waits for the others' reports: it may have to load a model.
                for job in [job for song, error in engine.step()
                            if (job := self._report(channel, song, error))]:
                    self._go_on(channel, job)
                self._let_go(channel)
        finally:
            engine.close(ChannelClosed("the API process is gone"))
            for task in list(self._jobs):
                self._drop(task)

    def _receive(self, channel: WorkerEnd) -> None:
        message = channel.receive()
        if isinstance(message, Cancel):
            error = Cancelled("The job was cancelled")
            if self._engine.remove(message.id, error):
                self._drop(message.id)
                channel.send(failure(message.id, error))
            return
        channel.send(Started(message.id))
        job = self._jobs[message.id] = Job(Chain(message, self._models.cost))
        self._go_on(channel, job)

    def _go_on(self, channel: WorkerEnd, job: Job) -> None:
        """Takes a task's next inference into the engine."""
        try:
            self._engine.add(self._song(job.chain, channel))
        except Exception as error:
            if isinstance(error, RuntimeError):
                check_device(self._device)  # out of order, it would fail whatever comes
            task = job.chain.task
            self._fail(channel, task.id, error, job=task.job, stage=task.stage)

    def _song(self, chain: Chain, channel: WorkerEnd) -> Song:
        self._models.check(chain.ahead)  # before hours of work for one that is gone
        try:
            with self._loading(channel, chain):
                if not self._models.is_current(chain.model):
                    self._models.prepare(chain.model)
                model = self._models.use(chain.model)
                with suppress(torch.OutOfMemoryError):  # its sums are on the card
                    return chain.start(model)
                self._models.make_room(chain.model)
                return chain.start(model)
        finally:
            self._tell_changes(channel)  # others may have left for it

    def _loading(self, channel: WorkerEnd, chain: Chain) -> AbstractContextManager[None]:
        """Loading takes seconds, as may a look through a long song, in which a worker that says
        nothing would pass for stalled; nobody knows yet how long the model's forwards take."""
        sign = Progress(chain.task.id, chain.done)
        return beating(lambda: channel.send(sign), self._config.server.start_seconds)

    def _report(self, channel: WorkerEnd, song: Song, error: Exception | None) -> Job | None:
        """Tells how a song is. Returns its job, where that goes on with another inference."""
        job = self._jobs[song.name]
        chain, done = job.chain, song.separation.done
        if error is None:
            try:
                chain.move(song)
            except OSError as problem:
                error, done = problem, False
        if error is not None:
            self._fail(channel, song.name, error)
        elif chain.over:
            del self._jobs[song.name]
            options, seconds = chain.task.options, time.monotonic() - job.began
            facts: dict[str, Any] = {
                "stems": list(options.stems), "model": options.model,
                "segments": chain.segments, "separate_s": round(seconds, 3),
                "peak": chain.peak, "seconds": round(chain.frames / SAMPLE_RATE, 3),
            }
            channel.send(Result(song.name, facts))
        else:
            channel.send(Progress(song.name, chain.done))
            return job if done else None
        return None

    def _fail(self, channel: WorkerEnd, task: str, error: Exception, **about: str) -> None:
        self._drop(task)
        if isinstance(error, FileNotFoundError):  # a job that was cancelled takes its files along
            log.info("separation ended: the job's files are gone", task=task, **about)
        else:
            log.error("separation failed", task=task, exc_info=error, **about)
        channel.send(failure(task, error))

    def _drop(self, task: str) -> None:
        """Forgets a task that is not brought to its end."""
        self._jobs.pop(task).chain.abandon()

    def _tell_changes(self, channel: WorkerEnd) -> None:
        """Says anew what this worker is, where models have come or left."""
        if self._hello is None:
            return
        now = structs.replace(self._hello, step_s=self._models.step_s,
                              models=self._models.describe())  # fmt: skip
        if now != self._hello:
            self._hello = now
            channel.send(now)

    def _let_go(self, channel: WorkerEnd) -> None:
        """Forgets the models whose time is over."""
        self._models.let_go()
        self._tell_changes(channel)
