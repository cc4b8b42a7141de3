"""The API process's view of the workers: who is there, who is free; submit, await, watch, kill.

Every worker holds one connection. Its end is the worker's death: whatever it had is raised as
WorkerLost at once. A worker that says nothing for too long while it has work is killed.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from server.errors import ServerBusy, WorkerGone
from server.work.channel import HEADER
from server.work.connected import Call, Worker, check_hello, peer_pid
from server.work.messages import Cancel, FromWorker, Hello, Report, Result, Task

log = structlog.get_logger()
POOLS = ("separation", "audio", "probe", "measure")
LONGEST_MESSAGE = 1 << 20  # bytes; messages carry names and numbers
STALL_STEPS = 10  # a worker whose steps are long may be silent for this many of them
CALL_SECONDS = 0.1  # until a worker that is not there is called again


class Slot:
    """A reserved place at a worker: run one task on it, or give it back.

    must_be_due_before: only a task that is due earlier fits (unix seconds). due: of the task that
    it is for; until that is set, the slot counts as the most urgent one.
    """

    def __init__(self, workers: "Workers", worker: Worker) -> None:
        self._workers = workers
        self.worker = worker
        self.must_be_due_before = worker.must_be_due_before
        self.due = -math.inf
        worker.reserved.add(self)

    def release(self) -> None:
        """Gives the place back, unless it was used or given back already."""
        if self in self.worker.reserved:
            self.worker.reserved.remove(self)
            self._workers.serve_waiting()

    async def run(self, task: Task, watch: Callable[[float], None] | None = None) -> Result:
        """Runs the task to its end; `watch` is told the share of it that is done, 0 to 1.

        Raises:
            WorkerGone: the worker died before it got the task, or while that lay still.
            WorkerLost: the worker died, or was killed because it stalled.
            AudioError, UnsupportedFormat, AudioTooLong, DiskFull, StageFailed: as the worker said.
        If the caller is cancelled, so is the task.
        """
        worker = self.worker
        worker.reserved.discard(self)
        if worker not in self._workers.of(worker.hello.pool):
            raise WorkerGone(f"{worker.hello.worker} died")
        if not worker.calls:
            worker.last_sign = time.monotonic()  # it was idle, not stalled
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        worker.calls[task.id] = Call(future, task.due, watch)
        worker.send(task)
        try:
            return await future
        except asyncio.CancelledError:
            if task.id in worker.calls:
                worker.send(Cancel(task.id))
            raise


class Waiting(NamedTuple):
    """Somebody who waits for a place; ordered."""

    due: float
    number: int
    slot: asyncio.Future[Slot]


class Workers:
    """All connected workers, by pool.

    Attributes:
        segments, forwards: what all of them have put through their models so far.
        losses: how many workers ended, by pool and reason: `died`, or `stalled` and were killed.
    """

    def __init__(
        self, stall_seconds: float, pause: Callable[[str], float] = lambda _: 0.0
    ) -> None:
        """pause: seconds until a pool whose workers kept dying is started again; 0: it runs."""
        self.segments = 0
        self.forwards = 0
        self.losses: Counter[tuple[str, str]] = Counter()
        self._stall_seconds = stall_seconds
        self._pause = pause
        self._workers: list[Worker] = []
        self._here: Counter[str] = Counter()  # how many of them are of which pool
        self._left: dict[str, float] = {}  # when a pool's last one did, by the monotonic clock
        self._began = time.monotonic()
        self._waiting: dict[str, list[Waiting]] = {}  # heaps
        self._numbers = count()
        self._listeners: list[Callable[[], None]] = []
        self._decoder = msgspec.msgpack.Decoder(FromWorker)

    def of(self, pool: str) -> list[Worker]:
        """The connected workers of one pool."""
        return [worker for worker in self._workers if worker.hello.pool == pool]

    def ready(self, pool: str) -> bool:
        """Whether a worker of this pool is connected."""
        return self._here[pool] > 0

    def unready_for(self, pool: str) -> float:
        """Seconds for which no worker of this pool has been connected; 0 while one is."""
        if self.ready(pool):
            return 0.0
        return time.monotonic() - self._left.get(pool, self._began)

    def check_breaker(self, pool: str) -> None:
        """Raises ServerBusy while no worker of the pool is started, because they kept dying. One
        card of several that is broken keeps nobody from the others."""
        others = pool == "separation" and self.ready(pool)
        if not others and (pause := self._pause(pool)):
            raise ServerBusy(f"The {pool} workers keep dying; others start soon", math.ceil(pause))

    def all(self) -> Sequence[Worker]:
        """The connected workers of all pools."""
        return self._workers

    def describe(self) -> list[dict[str, Any]]:
        """Name, pool, device and load of every worker, for people."""
        return [
            {"worker": w.hello.worker, "pool": w.hello.pool, "device": w.hello.device,
             "running": len(w.calls),
             "models": {model.name: model.load_s for model in w.hello.models},
             "confined": w.hello.confined, "not_confined": w.hello.not_confined}
            for w in self._workers
        ]

    def listen(self, callback: Callable[[], None]) -> None:
        """Calls back whenever a place may have become free."""
        self._listeners.append(callback)

    def changed(self) -> None:
        """A place may have become free: gives it to who waits, and tells the listeners."""
        self.serve_waiting()
        for callback in self._listeners:
            callback()

    def serve_waiting(self) -> None:
        """Hands free places to those who wait in `reserve`, in the order of their dues."""
        for pool, waiting in self._waiting.items():
            while waiting:
                if waiting[0].slot.done():
                    heappop(waiting)
                elif (slot := self.try_reserve(pool)) is not None:
                    heappop(waiting).slot.set_result(slot)
                else:
                    break

    def try_reserve(self, pool: str, alone: bool = False) -> Slot | None:
        """A place at the least busy worker, or where the least urgent task would lie still; or
        None. `alone`: only at an idle worker."""
        free = [w for w in self._free(pool) if not (alone and w.load)]
        if not free:
            return None
        return Slot(self, min(free, key=lambda worker: (-worker.must_be_due_before, worker.load)))

    async def reserve(self, pool: str, due: float = 0.0) -> Slot:
        """A place, as soon as there is one for a task that is due then; of equals, the first.

        Raises ServerBusy: nobody will be there soon.
        """
        self.check_breaker(pool)
        future: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        heappush(self._waiting.setdefault(pool, []), Waiting(due, next(self._numbers), future))
        self.serve_waiting()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.result().release()
            raise

    def _free(self, pool: str) -> Iterator[Worker]:
        return (worker for worker in self.of(pool) if worker.load < worker.hello.slots)

    @asynccontextmanager
    async def called(self, places: Iterable[Path]) -> AsyncIterator[None]:
        """Finds the workers that listen on unix sockets at these places, each again when another
        is there, and watches them, inside this context."""
        tasks = [asyncio.create_task(self._keep_calling(place), name=f"worker-{place.stem}")
                 for place in places]  # fmt: skip
        tasks.append(asyncio.create_task(self._watch(), name="worker-watch"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_calling(self, place: Path) -> None:
        while True:
            with suppress(OSError):
                connection = await asyncio.open_unix_connection(place)
                await self._attend(place.stem, *connection)
            await asyncio.sleep(CALL_SECONDS)

    async def _attend(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection's life, with the worker of this name."""
        worker: Worker | None = None
        try:
            hello = await self._receive(reader)
            if not isinstance(hello, Hello):
                return
            check_hello(hello, name)
            worker = Worker(hello, writer, peer_pid(writer))
            self._workers.append(worker)
            self._here[hello.pool] += 1
            log.info("worker connected", worker=hello.worker, pid=worker.pid, device=hello.device)
            self.changed()
            while True:
                message = await self._receive(reader)
                if isinstance(message, Report):
                    self._note(worker, message)
                elif isinstance(message, Hello):
                    check_hello(message, name)
                if worker.take(message):
                    self.changed()
        except Exception as error:  # whatever it says ends this connection, and nothing else
            if not isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                log.exception("worker's connection ends", worker=name)
            if worker is not None:
                self.losses[worker.hello.pool, "stalled" if worker.stalled else "died"] += 1
                log.warning("worker lost", worker=worker.hello.worker, pid=worker.pid,
                            tasks=len(worker.calls), reason=type(error).__name__)
        finally:
            if worker is not None:
                self._workers.remove(worker)
                self._here[worker.hello.pool] -= 1
                self._left[worker.hello.pool] = time.monotonic()
                worker.lost()
                self.changed()
            writer.close()

    def _note(self, worker: Worker, report: Report) -> None:
        worker.report = report
        self.segments += report.segments
        self.forwards += report.forwards

    async def _receive(self, reader: asyncio.StreamReader) -> FromWorker:
        (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
        if length > LONGEST_MESSAGE:
            raise msgspec.DecodeError("too long to be a message")
        message: FromWorker = self._decoder.decode(await reader.readexactly(length))
        return message

    async def _watch(self) -> None:
        """Kills workers that have work and give no sign of life."""
        pause, looked = self._stall_seconds / 4, time.monotonic()
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            overslept, looked = now - looked - pause, now
            if overslept > pause:  # this process was stopped meanwhile, and perhaps all were
                for worker in self._workers:
                    worker.last_sign = min(now, worker.last_sign + overslept)
            for worker in self._workers:
                silent = now - worker.last_sign
                patience = max(self._stall_seconds, STALL_STEPS * worker.hello.step_s)
                if worker.calls and silent > patience:
                    log.error("worker stalled: killing it", worker=worker.hello.worker,
                              pid=worker.pid, silent_s=round(silent, 1))
                    worker.stalled = True
                    worker.kill()
