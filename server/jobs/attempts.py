"""One attempt at a stage: the worker's run of it, and how each kind of end is booked.

Every attempt holds a lease; its end is written only while the lease is still its own. Who may
try when is the dispatcher's business.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog
from msgspec import structs

from server.errors import (
    AudioError,
    Cancelled,
    DiskFull,
    StageFailed,
    WorkerGone,
    WorkerLost,
)
from server.jobs.booking import book
from server.jobs.disk.folders import PEAKS_FOLDER, Folders, free_percent, full_disk_is_said
from server.jobs.disk.places import FILES, ScratchPlaces
from server.jobs.disk.room import DiskRoom, files_of
from server.jobs.outcomes import given_up_after
from server.jobs.plan import check_facts
from server.jobs.progress_log import ProgressLog
from server.jobs.reading import names_of, options_of
from server.tracks import MIX, track_file
from server.work.messages import Result, Task
from server.work.workers import Slot
from store import Claim, LeaseLost, StageRepository, Track

log = structlog.get_logger()
DISK_PAUSE = 10.0  # seconds until a stage that found the disk full is tried again
RETRY_PAUSE = 0.3  # seconds: what failed may need a moment to be in order again


def check_result(claim: Claim, result: Result) -> None:
    """A decoder that a file took over may say anything, and what it says here is read and served
    by a process with more rights. Raises StageFailed: the stage never writes such files, or the
    facts are none that can be kept.
    """
    try:
        json.dumps(result.facts, allow_nan=False)
        check_facts(claim.stage.name, result.facts)
    except (TypeError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise StageFailed(f"The worker told of facts that cannot be kept: {error}") from None
    if not result.tracks:
        return
    stage, options = claim.stage.name, options_of(claim.job)
    own = stage.partition("/")[2]
    expected = {own} if own else set(names_of(claim.job)) - {MIX}
    for name, file in result.tracks.items():
        if not (0 <= file.size < 1 << 63 and 0 <= file.crc < 1 << 32):
            raise StageFailed(f"The worker told of a file that cannot be: {file.path}")
        if name not in expected or file.path != track_file(stage, name, options.format):
            raise StageFailed(f"The worker told of a file that {stage} never writes")


class Attempts:
    """Makes attempts and books their ends.

    stop: cancels all other attempts at a job's stages; ended: is told when a job has ended.
    rooms: whose scratch files may lie on the disk.

    Attributes:
        suspects: jobs that were at a separation worker with others when it died: each runs alone
            until it is known which of them kills workers.
    """

    def __init__(
        self, stages: StageRepository, folders: Folders, rooms: DiskRoom, max_attempts: int,
        stop: Callable[[str], Awaitable[None]], ended: Callable[[], None],
    ) -> None:  # fmt: skip
        self._stages = stages
        self._folders = folders
        self._places = ScratchPlaces(folders)
        self._rooms = rooms
        self._max_attempts = max_attempts
        self._stop = stop
        self._ended = ended
        self._moves: dict[str, asyncio.Future[None]] = {}
        self._progress: dict[str, ProgressLog] = {}
        self.suspects: set[str] = set()

    async def make(self, claim: Claim, slot: Slot) -> None:
        """Runs one attempt, from the claim to its recorded end. Cancelled, it leaves the lease
        open, and the caller gives it back."""
        stage = claim.stage
        structlog.contextvars.bind_contextvars(
            job=stage.job_id, stage=stage.name, worker=slot.worker.hello.worker,
            attempt=stage.attempt,
        )
        try:
            await self._run(claim, slot)
        except LeaseLost:
            log.warning("stage was taken back meanwhile: what was done is dropped")
        except Exception:  # of what follows an end: the disk, as a rule
            log.exception("stage not ended: back in the queue")
            with suppress(LeaseLost):
                await book(lambda: self._stages.release(stage, None, charge=False))

    def forget_progress(self, job_id: str) -> None:
        """None of the job's stages runs any more."""
        self._progress.pop(job_id, None)

    async def clean(self, job_id: str) -> None:
        """Removes what an ended job leaves besides its tracks."""
        await asyncio.to_thread(self._places.remove, job_id)
        await asyncio.to_thread(self._folders.remove_parts, job_id)

    async def _run(self, claim: Claim, slot: Slot) -> None:
        began = time.monotonic()
        log.info("stage started")
        try:
            result = await self._work(claim, slot)
            check_result(claim, result)
        except (AudioError, Cancelled) as error:
            await self._fail(claim, error.message)
        except WorkerGone:
            await book(lambda: self._stages.release(claim.stage, None, charge=False))
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
            options = options_of(claim.job)
            seconds = msgspec.json.decode(claim.job.request).get("seconds", 0.0)
            files = max(FILES, files_of(claim.job.api, options))
            await asyncio.to_thread(self._places.open, claim.job.id, seconds, files)
            result = await slot.run(self._task(claim), self._watch(claim))
            frames = result.facts["frames"]
            if not await self._rooms.settle(claim.job, frames):
                raise DiskFull("The song is longer than it said: it waits for room")
            with full_disk_is_said():
                await asyncio.to_thread(self._places.settle, claim.job.id, frames, files)
            return result
        finally:
            slot.release()  # unless it was used: what follows may take long

    def _watch(self, claim: Claim) -> Callable[[float], None]:
        """Is told how far the stage is. A late stage is no part of its job's progress."""
        job, name = claim.job, claim.stage.name
        if claim.stage.late:
            return lambda done: None
        watched = self._progress.setdefault(job.id, ProgressLog(self._stages))
        return lambda done: watched.tell(job, name, done)

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
            peaks=str(self._folders.outputs / job_id / PEAKS_FOLDER),
            options=options_of(claim.job),
            facts=claim.facts,
        )

    async def _finish(self, claim: Claim, result: Result, seconds: float) -> None:
        tracks = {name: Track(*structs.astuple(file)) for name, file in result.tracks.items()}
        ended = await book(
            lambda: self._stages.finish(claim.stage, result.facts, tracks, time.time())
        )
        if claim.stage.pool == "separation":
            self.suspects.discard(claim.job.id)
        log.info("stage completed", seconds=round(seconds, 3))
        if ended.completed:
            log.info("job completed", seconds=round(time.time() - claim.job.created_at, 3))
        if ended.completed or ended.over:  # what is told of it may have waited for a late stage
            self._ended()
        if ended.over:
            await self.clean(claim.job.id)
        elif ended.completed:
            await asyncio.to_thread(self._places.keep_mix, claim.job.id)

    async def _lost(self, claim: Claim, error: WorkerLost) -> None:
        if error.alone:
            await self._try_again(claim, error.message)
            return
        log.warning("worker died under several songs: not charged, runs alone next")
        self.suspects.add(claim.job.id)  # before it can be claimed again
        try:
            await book(lambda: self._stages.release(claim.stage, error.message, charge=False))
        except BaseException:  # the job has ended, or is being stopped: it may never run again
            self.suspects.discard(claim.job.id)
            raise

    async def _wait_for_room(self, claim: Claim, reason: str) -> None:
        """A full disk is no job's fault, and it passes. From a faster place that is full the job
        goes away."""
        job_id = claim.job.id
        elsewhere = self._places.is_short(job_id)
        place = self._places.of(job_id) if elsewhere else self._folders.scratch / job_id
        log.error("disk full: the stage waits", place=str(place), reason=reason,
                  free_percent=free_percent(place.parent))
        first = claim.stage.name == "decode"
        if first:  # what waits for its turn holds no room
            with suppress(OSError):  # the disk is full too: it may find room elsewhere again
                await asyncio.to_thread(self._places.start_over, job_id)
        await asyncio.sleep(DISK_PAUSE)
        if (moved := self._moves.get(job_id)) is not None:
            await asyncio.wait([moved])  # another of its stages sees to it, and stops this one
        elif claim.stage.late:  # its job is complete without it, and keeps what it has
            await self._try_again(claim, reason)
            return
        elif not first:
            moved_away = elsewhere and await self._go_to_disk(job_id)
            if not moved_away and await self._give_way(claim):
                return
        await book(lambda: self._stages.release(claim.stage, reason, charge=False))

    async def _go_to_disk(self, job_id: str) -> bool:
        """Whether the disk had room for what the job has in the faster place."""
        async with self._held(job_id):
            try:
                await asyncio.to_thread(self._places.to_disk, job_id)
            except OSError:
                return False
        return True

    async def _give_way(self, claim: Claim) -> bool:
        """Gives up what was made of a job's input, if another that is due earlier holds room too:
        where all wait for room, one gets it."""
        async with self._held(claim.job.id):
            if not await book(lambda: self._rooms.give_way(claim.stage)):
                return False
            log.warning("the job gives its room to one that is due earlier")
            await self._stop(claim.job.id)
            await asyncio.to_thread(self._places.clear, claim.job.id)
            await asyncio.to_thread(self._folders.empty, self._folders.outputs / claim.job.id)
        return True

    @asynccontextmanager
    async def _held(self, job_id: str) -> AsyncIterator[None]:
        """None of the job's other stages runs, or begins, meanwhile."""
        moved = self._moves[job_id] = asyncio.get_running_loop().create_future()
        try:
            await self._stop(job_id)
            yield
        finally:
            self._moves.pop(job_id, None)
            moved.set_result(None)

    async def _try_again(self, claim: Claim, reason: str) -> None:
        attempt = claim.stage.attempt
        if attempt >= self._max_attempts:
            log.error("stage failed for good", reason=reason)
            await self._fail(claim, given_up_after(attempt))
            return
        log.warning("stage will be tried again", reason=reason)
        await asyncio.sleep(RETRY_PAUSE)
        await book(lambda: self._stages.release(claim.stage, reason, charge=True))

    async def _fail(self, claim: Claim, sentence: str) -> None:
        job_id = claim.job.id
        over = await book(lambda: self._stages.fail(claim.stage, sentence, time.time()))
        self.suspects.discard(job_id)  # from here on none of its stages can be lost
        if claim.stage.late:
            log.warning("late stage failed: the job goes without", error=sentence)
            self._ended()
        else:
            log.warning("job failed", error=sentence)
            self._ended()
            await self._stop(job_id)
            if claim.job.api == "stemsplit":  # one that failed has nothing to download
                await asyncio.to_thread(self._folders.remove, self._folders.outputs, job_id)
        if over:
            await self.clean(job_id)
