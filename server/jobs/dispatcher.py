"""Takes stages that are ready to workers that are free, and books how they end.

Every attempt holds a lease; its end is written only while the lease is still its own. A
worker's death takes its stages back at once.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
import structlog

from server.errors import (
    AudioError,
    Cancelled,
    DiskFull,
    StageFailed,
    WorkerGone,
    WorkerLost,
)
from server.jobs import progress
from server.jobs.folders import Folders, free_percent, full_disk_is_said
from server.jobs.places import ScratchPlaces
from server.work.messages import Options, Result, Task
from server.work.workers import Slot, Workers
from store import Job, JobRepository, LeaseLost
from store.jobs import Claim

log = structlog.get_logger()
T = TypeVar("T")
POOLS = ("separation", "audio")
OFFER_SECONDS = 0.05  # the longest that an answer waits to tell of a job's first stage
BOOKING_PAUSE = 2.0  # seconds between attempts to write to a database that refuses
DISK_PAUSE = 10.0  # seconds until a stage that found the disk full is tried again
RETRY_PAUSE = 0.3  # seconds: what failed may need a moment to be in order again
PROGRESS_PAUSE = 0.5  # seconds between two writes of one job's progress


class Dispatcher:
    """Runs the stages of all jobs. `run()` is its whole life; `wake()` tells of new work."""

    def __init__(
        self, jobs: JobRepository, workers: Workers, folders: Folders, max_attempts: int
    ) -> None:
        self._jobs = jobs
        self._workers = workers
        self._folders = folders
        self._places = ScratchPlaces(folders)
        self._moves: dict[str, asyncio.Future[None]] = {}
        self._max_attempts = max_attempts
        self.boot = uuid.uuid4().hex
        self._leases = 0
        self._wake = asyncio.Event()
        self._passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running: dict[str, set[asyncio.Task[None]]] = {}
        # Jobs that were at a separation worker with others when it died: each runs alone until
        # it is known which of them kills workers.
        self._suspects: set[str] = set()
        self._progress: dict[str, ProgressLog] = {}
        self._listeners: list[Callable[[], None]] = []
        workers.listen(self.wake)

    def listen(self, callback: Callable[[], None]) -> None:
        """Calls back whenever a job has ended."""
        self._listeners.append(callback)

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def offer(self) -> None:
        """Wakes, and gives a free worker the moment that it takes to begin: an answer about a
        new job then tells of its first stage. A long queue delays nobody."""
        self._wake.set()
        passed = self._passed
        await asyncio.wait([passed], timeout=OFFER_SECONDS)

    async def run(self) -> None:
        """Dispatches until cancelled; then running stages go back to the queue, uncharged."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    for pool in POOLS:
                        await self._fill(pool)
                    self._pass_on()
                except Exception:  # the database: its disk may be full for a while
                    log.exception("claiming failed: trying again")
                    await asyncio.sleep(BOOKING_PAUSE)
                    self.wake()
        finally:
            await self._stop_all()

    def _pass_on(self) -> None:
        """Tells those who wait for it that every free place has been offered."""
        passed, self._passed = self._passed, asyncio.get_running_loop().create_future()
        passed.set_result(None)

    async def _fill(self, pool: str) -> None:
        while (slot := self._workers.try_reserve(pool, self._alone(pool))) is not None:
            self._leases += 1
            lease = f"{self.boot}/{self._leases}"
            claim = None
            try:
                claim = await self._jobs.claim(pool, lease, time.time(), slot.before)
            finally:
                if claim is None:
                    slot.release()
            if claim is None:
                return
            slot.due = claim.due
            self._start(claim, slot)

    def _alone(self, pool: str) -> bool:
        """Whether songs must not meet at a worker, until it is known which of them kills."""
        return pool == "separation" and bool(self._suspects)

    def _start(self, claim: Claim, slot: Slot) -> None:
        job_id = claim.job.id
        attempt = asyncio.create_task(self._attempt(claim, slot), name=f"stage-{claim.stage.lease}")
        self._running.setdefault(job_id, set()).add(attempt)

        def forget(_: object) -> None:
            slot.release()  # unless it was used: an attempt may be cancelled before it begins
            self._running[job_id].discard(attempt)
            if not self._running[job_id]:
                del self._running[job_id]
                self._progress.pop(job_id, None)
            self.wake()

        attempt.add_done_callback(forget)

    async def _attempt(self, claim: Claim, slot: Slot) -> None:
        """One attempt at one stage, from the claim to its booked end."""
        stage = claim.stage
        structlog.contextvars.bind_contextvars(
            job=stage.job_id, stage=stage.name, worker=slot.worker.hello.worker,
            attempt=stage.attempt,
        )
        try:
            await self._run(claim, slot)
        except LeaseLost:
            log.warning("stage was taken back meanwhile: what was done is dropped")
        except asyncio.CancelledError:
            with suppress(Exception):  # or a restart takes it back
                await self._jobs.release(stage, None, charge=False)
            raise
        except Exception:  # of what follows an end: the disk, as a rule
            log.exception("stage not ended: back in the queue")
            with suppress(LeaseLost):
                await self._book(lambda: self._jobs.release(stage, None, charge=False))

    async def _run(self, claim: Claim, slot: Slot) -> None:
        began = time.monotonic()
        log.info("stage started")
        try:
            result = await self._work(claim, slot)
        except (AudioError, Cancelled) as error:
            await self._fail(claim, error.message)
        except WorkerGone:
            await self._book(lambda: self._jobs.release(claim.stage, None, charge=False))
        except WorkerLost as error:
            await self._lost(claim, error)
        except DiskFull as error:
            await self._wait_for_room(claim, error.message)
        except Exception as error:
            reason = getattr(error, "message", type(error).__name__)
            log.warning("stage failed", reason=reason, exc_info=not isinstance(error, StageFailed))
            await self._try_again(claim, reason)
        else:
            await self._finish(claim, result, time.monotonic() - began)

    async def _work(self, claim: Claim, slot: Slot) -> Result:
        """Has the worker run the stage; the first one finds a place for the job's files."""
        try:
            while (moved := self._moves.get(claim.job.id)) is not None:
                await asyncio.wait([moved])
            if claim.stage.name != "decode":
                return await slot.run(self._task(claim), self._watch(claim))
            seconds = msgspec.json.decode(claim.job.request).get("seconds", 0.0)
            await asyncio.to_thread(self._places.open, claim.job.id, seconds)
            result = await slot.run(self._task(claim), self._watch(claim))
            with full_disk_is_said():
                await asyncio.to_thread(self._places.settle, claim.job.id, result.facts["frames"])
            return result
        finally:
            slot.release()  # unless it was used: what follows may take long

    def _watch(self, claim: Claim) -> Callable[[float], None]:
        """Is told how far the stage is. A late stage is no part of its job's progress."""
        job, name = claim.job, claim.stage.name
        if claim.stage.late:
            return lambda done: None
        watched = self._progress.setdefault(job.id, ProgressLog(self._jobs))
        return lambda done: watched.tell(job, name, done)

    async def _book(self, change: Callable[[], Awaitable[T]]) -> T:
        """Writes an end into the database, however long that takes: a full disk passes."""
        while True:
            try:
                return await change()
            except LeaseLost:
                raise
            except Exception:
                log.exception("booking failed: trying again")
                await asyncio.sleep(BOOKING_PAUSE)

    def _task(self, claim: Claim) -> Task:
        job_id = claim.job.id
        assert claim.stage.lease is not None
        return Task(
            id=claim.stage.lease,
            job=job_id,
            stage=claim.stage.name,
            due=claim.due,
            source=str(self._folders.scratch / job_id / "input"),
            scratch=str(self._places.of(job_id)),
            outputs=str(self._folders.outputs / job_id),
            options=msgspec.json.decode(claim.job.options, type=Options),
            facts=claim.facts,
        )

    async def _finish(self, claim: Claim, result: Result, seconds: float) -> None:
        ended = await self._book(
            lambda: self._jobs.finish(claim.stage, result.facts, result.tracks, time.time())
        )
        if claim.stage.pool == "separation":
            self._suspects.discard(claim.job.id)
        log.info("stage completed", seconds=round(seconds, 3))
        if ended.completed:
            log.info("job completed", seconds=round(time.time() - claim.job.created_at, 3))
            self._tell()
        if ended.over:
            await self._clean(claim.job.id)
        elif ended.completed:
            await asyncio.to_thread(self._places.keep_mix, claim.job.id)

    def _tell(self) -> None:
        for callback in self._listeners:
            callback()

    async def _lost(self, claim: Claim, error: WorkerLost) -> None:
        if error.alone:
            await self._try_again(claim, error.message)
            return
        log.warning("worker died under several songs: not charged, runs alone next")
        self._suspects.add(claim.job.id)  # before it can be claimed again
        try:
            await self._book(lambda: self._jobs.release(claim.stage, error.message, charge=False))
        except LeaseLost:
            self._suspects.discard(claim.job.id)
            raise

    async def _wait_for_room(self, claim: Claim, reason: str) -> None:
        """A full disk is no job's fault, and it passes. From a faster place the job goes away."""
        place = self._places.of(claim.job.id)
        log.error("disk full: the stage waits", place=str(place),
                  free_percent=free_percent(place.parent))
        await asyncio.sleep(DISK_PAUSE)
        if place.parent == self._folders.fast:
            await self._move(claim.job.id)
        await self._book(lambda: self._jobs.release(claim.stage, reason, charge=False))

    async def _move(self, job_id: str) -> None:
        """Takes a job's scratch files to the disk, while none of its stages runs."""
        moved = self._moves[job_id] = asyncio.get_running_loop().create_future()
        try:
            await self._stop(job_id)
            with suppress(OSError):  # the disk is full too: the next attempt tries again
                await asyncio.to_thread(self._places.to_disk, job_id)
        finally:
            self._moves.pop(job_id, None)
            moved.set_result(None)

    async def _try_again(self, claim: Claim, reason: str) -> None:
        attempt = claim.stage.attempt
        if attempt >= self._max_attempts:
            log.error("stage failed for good", reason=reason)
            await self._fail(claim, f"Processing failed {attempt} times and was given up")
            return
        log.warning("stage will be tried again", reason=reason)
        await asyncio.sleep(RETRY_PAUSE)
        await self._book(lambda: self._jobs.release(claim.stage, reason, charge=True))

    async def _fail(self, claim: Claim, sentence: str) -> None:
        job_id = claim.job.id
        self._suspects.discard(job_id)
        over = await self._book(lambda: self._jobs.fail(claim.stage, sentence, time.time()))
        if claim.stage.late:
            log.warning("late stage failed: the job goes without", error=sentence)
        else:
            log.warning("job failed", error=sentence)
            self._tell()
            await self._stop(job_id)
        if over:
            await self._clean(job_id)

    async def cancel(self, job_id: str) -> None:
        """Stops what runs for a job that has ended in the database, and removes its scratch."""
        self._suspects.discard(job_id)
        self.wake()
        self._tell()
        await self._stop(job_id)
        await self._clean(job_id)

    async def _stop(self, job_id: str) -> None:
        """Cancels all attempts at a job's stages but the caller's own."""
        running = self._running.get(job_id, set()) - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _clean(self, job_id: str) -> None:
        await asyncio.to_thread(self._places.remove, job_id)
        await asyncio.to_thread(self._folders.remove_parts, job_id)

    async def _stop_all(self) -> None:
        tasks = [task for running in self._running.values() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ProgressLog:
    """Writes one job's progress down, as often as is of use."""

    def __init__(self, jobs: JobRepository) -> None:
        self._jobs = jobs
        self._running: dict[str, float] = {}
        self._percent = 0
        self._next = 0.0
        self._write: asyncio.Task[None] | None = None

    def tell(self, job: Job, stage: str, done: float) -> None:
        """Stage `stage` of the job (as it was when that was claimed) is `done`, 0 to 1."""
        self._running[stage] = done
        value, now = progress.percent(job.stages, self._running), time.monotonic()
        busy = self._write is not None and not self._write.done()
        if value > self._percent and now >= self._next and not busy:
            self._percent, self._next = value, now + PROGRESS_PAUSE
            self._write = asyncio.create_task(self._set(job.id, value))

    async def _set(self, job_id: str, value: int) -> None:
        with suppress(Exception):  # the next one may get through: nothing depends on it
            await self._jobs.set_progress(job_id, value)
