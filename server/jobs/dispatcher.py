"""Takes stages that are ready to workers that are free.

Decides who may try what and when; what an attempt does and how it ends is `attempts`' business.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

import structlog

from server.jobs.attempts import Attempts
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom
from server.work.workers import Slot, Workers
from store import Claim, LeaseLost, Stage, StageRepository

log = structlog.get_logger()
POOLS = ("separation", "audio")
CLAIM_PAUSE = 2.0  # seconds between attempts to claim from a database that refuses
ROOM_PAUSE = 5.0  # seconds until a job that waits for room on the disk is looked at again
PASS_SECONDS = 0.05  # the longest that an answer waits to tell of a job's first stage


class Dispatcher:
    """Runs the stages of all jobs. `run()` is its whole life; `wake()` tells of new work."""

    def __init__(
        self, stages: StageRepository, workers: Workers, folders: Folders, rooms: DiskRoom,
        max_attempts: int,
    ) -> None:  # fmt: skip
        self._stages = stages
        self._workers = workers
        self._rooms = rooms
        self._attempts = Attempts(stages, folders, rooms, max_attempts, self._stop, self._tell)
        self.boot = uuid.uuid4().hex
        self._lease = f"{self.boot}/d"  # what all leases of this dispatcher begin with
        self._leases = 0
        self._wake = asyncio.Event()
        self._passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running: dict[str, set[asyncio.Task[None]]] = {}
        self._cut_off: list[Stage] = []  # their attempts were cancelled, and they are still leased
        self._listeners: list[Callable[[], None]] = []
        self._look_again: asyncio.TimerHandle | None = None
        workers.listen(self.wake)

    def listen(self, callback: Callable[[], None]) -> None:
        """Calls back whenever a job has ended."""
        self._listeners.append(callback)

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def wake_and_wait(self) -> None:
        """Wakes the dispatcher and waits for one pass of it, PASS_SECONDS at most: the answer to a
        new job then tells of its first stage, if a worker was free."""
        self._wake.set()
        passed = self._passed
        await asyncio.wait([passed], timeout=PASS_SECONDS)

    async def run(self) -> None:
        """Dispatches until cancelled; then running stages go back to the queue, uncharged."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._put_back()
                    for pool in POOLS:
                        await self._fill(pool)
                    self._pass_on()
                except Exception:  # the database: its disk may be full for a while
                    log.exception("dispatching failed: trying again")
                    await asyncio.sleep(CLAIM_PAUSE)
                    self.wake()
        finally:
            await self._stop_all()

    async def _put_back(self) -> None:
        """Puts what was cut off back into the queue, uncharged. The attempts cannot: one may not
        even have begun, and whoever cancels them does not wait until the database takes it."""
        while self._cut_off:
            with suppress(LeaseLost):  # it was booked, or its job has ended
                await self._stages.release(self._cut_off[0], None, charge=False)
            del self._cut_off[0]

    def _pass_on(self) -> None:
        """Tells those who wait for it that every free place has been offered."""
        passed, self._passed = self._passed, asyncio.get_running_loop().create_future()
        passed.set_result(None)

    async def _fill(self, pool: str) -> None:
        while (slot := self._workers.try_reserve(pool, self._alone(pool))) is not None:
            self._leases += 1
            lease = f"{self._lease}{self._leases}"
            claim = None
            try:
                decode = await self._next_to_decode() if pool == "audio" else None
                claim = await self._stages.claim(
                    pool, lease, time.time(), slot.must_be_due_before, decode
                )
            finally:
                if claim is None:
                    slot.release()
            if claim is None:
                return
            slot.due = claim.due
            self._start(claim, slot)

    async def _next_to_decode(self) -> str | None:
        """The job that may be decoded now. What waits for room alone is looked at again soon:
        nobody tells of files that others remove."""
        job_id = await self._rooms.next_to_decode()
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        if job_id == "":
            self._look_again = asyncio.get_running_loop().call_later(ROOM_PAUSE, self.wake)
        return job_id

    def _alone(self, pool: str) -> bool:
        """Whether songs must not meet at a worker, until it is known which of them kills."""
        return pool == "separation" and bool(self._attempts.suspects)

    def _start(self, claim: Claim, slot: Slot) -> None:
        job_id = claim.job.id
        attempt = asyncio.create_task(
            self._attempts.make(claim, slot), name=f"stage-{claim.stage.lease}"
        )
        self._running.setdefault(job_id, set()).add(attempt)

        def forget(_: object) -> None:
            if attempt.cancelled():
                self._cut_off.append(claim.stage)
            slot.release()  # unless it was used: an attempt may be cancelled before it begins
            self._running[job_id].discard(attempt)
            if not self._running[job_id]:
                del self._running[job_id]
                self._attempts.forget_progress(job_id)
            self.wake()

        attempt.add_done_callback(forget)

    def _tell(self) -> None:
        for callback in self._listeners:
            callback()

    async def cancel(self, job_id: str) -> None:
        """Stops what runs for a job that has ended in the database, and removes its scratch."""
        self._attempts.suspects.discard(job_id)
        self.wake()
        self._tell()
        await self._stop(job_id)
        await self._attempts.clean(job_id)

    async def _stop(self, job_id: str) -> None:
        """Cancels all attempts at a job's stages but the caller's own."""
        running = self._running.get(job_id, set()) - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _stop_all(self) -> None:
        tasks = [task for running in self._running.values() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):  # or a restart takes them back
            await self._stages.put_back(self._lease)
