"""Sources that are fetched from elsewhere: at once where that is quick, else in the background.

A job whose source is still to come waits in the database, so a restart loses nothing.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import structlog

from server.config import Config
from server.errors import (
    AddressForbidden,
    AudioError,
    DiskFull,
    FileTooLarge,
    NotEnoughCredits,
    ServerBusy,
    Unreachable,
    in_seconds,
)
from server.jobs.booking import book
from server.jobs.disk.folders import Folders
from server.jobs.orders import Request, with_length
from server.jobs.outcomes import UNREADABLE
from server.jobs.plan import SIMULATE
from server.jobs.reading import options_of
from server.jobs.simulating import Simulated, simulate
from server.jobs.sources.downloads import Client, Sources, stop_tasks
from server.jobs.sources.intake import Intake
from server.work.messages import Options
from store import FETCH, Claim, InsufficientCredits, Job, LeaseLost, StageRepository

log = structlog.get_logger()
AT_ONCE = 128  # sources that are fetched in the background at the same time
PAUSE = 5.0  # seconds, where the server itself is in the way


# What is to be told of the source; all else is the server's own affair.
SAID = (AddressForbidden, AudioError, FileTooLarge, Simulated, Unreachable)


class Fetcher:
    """Fetches sources. `run()` is its whole life; `wake()` tells of a new job."""

    def __init__(
        self, config: Config, stages: StageRepository, intake: Intake, client: Client, boot: str
    ) -> None:
        self._config = config
        self._stages = stages
        self._intake = intake
        self._sources = Sources(config, client)
        self._lease = f"{boot}/f"  # what all leases of this fetcher begin with
        self._leases = 0
        self._wake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._fetching: set[str] = set()  # those of them whose source still comes
        self._settled: list[Callable[[], None]] = []

    def listen(self, callback: Callable[[], None]) -> None:
        """Calls back whenever a job is ready for its own work, or has failed."""
        self._settled.append(callback)

    def wake(self) -> None:
        """There may be something to fetch."""
        self._wake.set()

    async def try_now(self, job_id: str, request: Request, folder: Path) -> Request | None:
        """Fetches the source to `folder/input`, if that takes a few seconds.

        Else None: then it goes on, and once the job is in the database, `run` waits for its end.

        Raises:
            AddressForbidden, Unreachable, FileTooLarge, DiskFull.
        """
        return await self._sources.try_now(job_id, request, folder)

    async def cancel(self, job_id: str) -> None:
        """Stops fetching for a job that has ended in the database, or never came into it."""
        if task := self._running.get(job_id):
            await stop_tasks([task])
        await self._sources.stop(job_id)

    async def run(self) -> None:
        """Fetches until cancelled; then what was under way goes back into the queue."""
        self.wake()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._fill()
                except Exception:  # the database: its disk may be full for a while
                    log.exception("claiming failed: trying again")
                    await asyncio.sleep(PAUSE)
                    self.wake()
        finally:
            await stop_tasks([*self._running.values()])
            await self._sources.stop_all()
            with suppress(Exception):  # or a restart takes them back
                await self._stages.put_back(self._lease)

    async def _fill(self) -> None:
        while len(self._fetching) < AT_ONCE:
            self._leases += 1
            claim = await self._stages.claim(FETCH, f"{self._lease}{self._leases}", time.time())
            if claim is None:
                return
            task = asyncio.create_task(self._attempt(claim), name=f"fetch-{claim.job.id}")
            self._running[claim.job.id] = task
            self._fetching.add(claim.job.id)
            task.add_done_callback(partial(self._forget, claim.job.id))

    def _forget(self, job_id: str, task: asyncio.Task[None]) -> None:
        if self._running.get(job_id) is task:  # and not the job's next stage already
            del self._running[job_id]
            self._fetching.discard(job_id)
        self.wake()

    def _fetched(self, job_id: str) -> None:
        """The next source may come: what follows waits for workers, and not for anybody's line."""
        self._fetching.discard(job_id)
        self.wake()

    async def _attempt(self, claim: Claim) -> None:
        structlog.contextvars.bind_contextvars(job=claim.job.id, stage=claim.stage.name)
        try:
            await (self._simulate if claim.stage.name == SIMULATE else self._run)(claim)
        except LeaseLost:
            log.info("the job has ended meanwhile")
        except (DiskFull, ServerBusy) as error:
            await self._try_again(claim, error.message, charge=False)
        except NotEnoughCredits as error:
            needed = f"it needs {in_seconds(error.required)}"  # no answer tells it in a field
            await self._fail(claim, f"Not enough credits for this job: {needed}.")
        except SAID as error:
            await self._fail(claim, error.message)
        except Exception as error:
            log.warning("fetching failed", exc_info=error)
            await self._try_again(claim, "", charge=True)

    async def _try_again(self, claim: Claim, reason: str, charge: bool) -> None:
        """What is the server's own fault passes, or ends after as many attempts as any stage."""
        if charge and claim.stage.attempt >= self._config.jobs.max_attempts:
            await self._fail(claim, UNREADABLE)
            return
        log.warning("the source waits", reason=reason)
        await asyncio.sleep(PAUSE)
        with suppress(LeaseLost):
            await book(lambda: self._stages.release(claim.stage, None, charge))

    async def _run(self, claim: Claim) -> None:
        request = msgspec.json.decode(claim.job.request, type=Request)
        options = options_of(claim.job)
        folder = self._intake.folders.scratch / claim.job.id
        if (folder / "input").exists():  # of an attempt that ended after it
            size = (folder / "input").stat().st_size
            fetched = msgspec.structs.replace(request, size_bytes=size, source_url=None)
        else:
            fetched = await self._fetch(claim.job, request, folder)
            said = msgspec.json.encode(fetched).decode()
            await book(lambda: self._stages.set_request(claim.job.id, said))
        self._fetched(claim.job.id)
        options = msgspec.structs.replace(options, file_name=fetched.file_name)
        account = claim.job.account_id or ""
        facts = await self._intake.measure(account, claim.job.id, folder, options)
        known = with_length(fetched, facts["frames"], self._config)
        credits = None if known.test else math.ceil(known.seconds)
        await self._keep_room(claim.job, options, known.seconds)
        try:
            said = msgspec.json.encode(known).decode()
            await book(lambda: self._stages.settle(claim.stage, said, credits, time.time()))
        except InsufficientCredits:
            raise NotEnoughCredits(math.ceil(known.seconds)) from None
        log.info("source fetched", bytes=known.size_bytes, seconds=round(known.seconds, 1))
        self._tell()

    async def _fetch(self, job: Job, request: Request, folder: Path) -> Request:
        """The source comes where there is room for the largest. Raises as `Sources.fetch`."""
        rooms, promised = self._intake.rooms, f"{FETCH}/{job.id}"
        folder.mkdir(mode=0o700, exist_ok=True)  # no backup holds an empty one
        most = self._config.limits.max_upload_mb << 20
        await rooms.promise(promised, most, caller=job.account_id, place=folder)
        try:
            return await self._sources.fetch(job.id, request, folder)
        finally:
            rooms.forget(promised)

    async def _keep_room(self, job: Job, options: Options, seconds: float) -> None:
        """What was measured waits for its room; measured anew it would be no shorter."""
        while True:
            try:
                return await self._intake.keep_room(job, options, seconds)
            except DiskFull as error:
                log.warning("the source waits", reason=error.message)
                await asyncio.sleep(PAUSE)

    async def _simulate(self, claim: Claim) -> None:
        """What comes before a test job's own work. It is not in anybody's way."""
        self._fetched(claim.job.id)
        await simulate(msgspec.json.decode(claim.job.request, type=Request))
        await book(lambda: self._stages.finish(claim.stage, {}, {}, time.time()))
        self._tell()

    async def _fail(self, claim: Claim, sentence: str) -> None:
        """A source that cannot be had fails its job: the sentence says why."""
        log.warning("job failed", error=sentence)
        with suppress(LeaseLost):
            await book(lambda: self._stages.fail(claim.stage, sentence, time.time()))
        folders: Folders = self._intake.folders
        left = [folders.scratch] + [folders.outputs] * (claim.job.api == "stemsplit")
        for folder in left:  # of a pipeline job that failed, outputs are kept
            await asyncio.to_thread(folders.remove, folder, claim.job.id)
        self._tell()

    def _tell(self) -> None:
        for callback in self._settled:
            callback()
