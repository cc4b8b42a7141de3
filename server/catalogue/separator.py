"""The actor that holds the model: the server's own separation worker, fed by Ray instead of a
socket. Segments of all songs that are asked for at once go through it in common batches.
"""

import asyncio
import os
import shutil
import threading
import time
from collections import deque
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import structlog
from msgspec import Struct, structs

from server.catalogue import storage
from server.catalogue.orders import Failure, Order, Separated
from server.catalogue.recipes import digest_of
from server.config import Config
from server.engine.devices import devices
from server.engine.library.choice import find
from server.engine.worker import SeparationWorker
from server.errors import ModelError
from server.work.messages import Failed, FromWorker, Result, Task, ToWorker

log = structlog.get_logger()
POISON = ("input", "unsupported", "too_long")  # kinds of failure that the song itself explains


class Post(Struct, frozen=True):
    """What an actor is for. runs: the models that `model` is, or that what is wanted of a preset
    needs. threads: of a CPU, 0 on a card. folder: its own on any machine. mark: the driver's object
    in the output."""

    config: Config
    model: str
    digest: str
    runs: tuple[str, ...]
    threads: int
    folder: str
    mark: str


class Mailbox:
    """The engine thread's end of the actor: the channel of a worker whose tasks come by calls."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._come = threading.Condition()
        self._answers: dict[str, asyncio.Future[Result | Failed]] = {}
        self._loop = asyncio.get_running_loop()

    async def ask(self, task: Task) -> Result | Failed:
        """Has the engine do a task."""
        answer = self._answers[task.id] = self._loop.create_future()
        with self._come:
            self._tasks.append(task)
            self._come.notify()
        return await answer

    def receive(self) -> ToWorker:
        self.waiting(None)
        return self._tasks.popleft()

    def waiting(self, seconds: float | None = 0.0) -> bool:
        with self._come:
            return bool(self._come.wait_for(lambda: self._tasks, seconds))

    def send(self, message: FromWorker) -> None:
        if isinstance(message, Result | Failed):
            self._loop.call_soon_threadsafe(self._answer, message)

    def _answer(self, message: Result | Failed) -> None:
        answer = self._answers.pop(message.id)
        if not answer.done():  # its caller may have gone
            answer.set_result(message)


class SeparationActor:
    """One card, or one share of a machine's cores."""

    def __init__(self, post: Post) -> None:
        shutil.rmtree(post.folder, ignore_errors=True)  # of songs that died with the last actor
        self._post = post
        self._mailbox: Mailbox | None = None

    @cached_property
    def _worker(self) -> SeparationWorker:
        """Not the constructor's: Ray tells no error there from the death of the process."""
        post, config = self._post, self._post.config
        settings = {"device": "cpu", "threads": post.threads} if post.threads else {
            "device": "cuda"}  # Ray shows it one card alone
        separation = structs.replace(config.separation, **settings)
        config = structs.replace(config, separation=separation)
        found = find(post.model, config)
        if found is None or digest_of(found) != post.digest:
            raise ModelError(f"Model {post.model} of the driver is not on this machine")
        if storage.read(post.mark) is None:  # results would go to a disk of this machine's own
            raise ModelError("OUTPUT of the driver is not on this machine")
        return SeparationWorker(config, devices(config.separation.device)[0], post.runs)

    async def hello(self) -> str:
        """Answers once the model is loaded and warm: what it runs on.

        Raises ModelError: the model is not what the driver's is, or OUTPUT is not. StorageError:
        OUTPUT cannot be read.
        """
        return self._worker.hello("separation", os.getpid()).device

    async def watch(self) -> NoReturn:
        """Never returns: whoever waits for it is told of the actor's death."""
        await asyncio.Event().wait()
        raise AssertionError

    async def separate(self, order: Order) -> Separated | Failure:
        """The mix in the order's folder into stems there."""
        mailbox = self._mailbox = self._mailbox or self._start()
        began = time.monotonic()
        answer = await mailbox.ask(order.task("separate", {}))
        if isinstance(answer, Failed):
            if answer.kind == "no_room":
                return Failure("station", f"{order.folder}: {answer.message}")
            return Failure("input" if answer.kind in POISON else "internal", answer.message)
        return Separated(answer.facts["peak"], time.monotonic() - began)

    async def sweep(self, folder: str) -> None:
        """Removes a run's folder from the machine."""
        shutil.rmtree(Path(folder), ignore_errors=True)

    def _start(self) -> Mailbox:
        mailbox = Mailbox()
        threading.Thread(target=self._serve, args=(mailbox,), daemon=True).start()
        return mailbox

    def _serve(self, mailbox: Mailbox) -> None:
        try:
            self._worker.serve(mailbox)
        except BaseException:
            log.exception("the engine has ended: the actor ends with it, and another is started")
        os._exit(1)
