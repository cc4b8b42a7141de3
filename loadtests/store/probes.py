"""What the server asks of its database while it serves, each as one call that can be timed."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from loadtests.store.filling import BIG, DAY, HISTORY, NOW, REQUEST, Sizes, job_id, jobs
from server.jobs.clock import Clock
from server.jobs.disk.folders import Folders
from server.jobs.disk.room import DiskRoom
from server.jobs.janitor import Janitor, Retention
from server.jobs.plan import split_plan
from server.jobs.sources.uploads import Uploads
from store import (
    Claim,
    ClockRepository,
    CreditRepository,
    Database,
    DeliveryRepository,
    JobRepository,
    NewJob,
    UploadRepository,
    WebhookRepository,
)

PAGE = 20
PLAN = split_plan(("vocals", "instrumental"), True)


class Probe(NamedTuple):
    """One thing to time. `undo` puts back what it did, out of the timed part. `of_queue`: it counts
    what waits, and takes some index entries for each job that does."""

    name: str
    call: Callable[[], Awaitable[Any]]
    undo: Callable[[Any], Awaitable[Any]] | None = None
    of_queue: bool = False

    async def timed(self) -> float:
        """Seconds of one call."""
        began = time.perf_counter()
        result = await self.call()
        seconds = time.perf_counter() - began
        if self.undo is not None:
            await self.undo(result)
        return seconds


class Store:
    """The repositories on one filled `database`, and the probes."""

    def __init__(self, database: Database, sizes: Sizes, folder: Path) -> None:
        self.database, self._sizes = database, sizes
        self._jobs = JobRepository(database)
        self._credits = CreditRepository(database)
        self._sent = DeliveryRepository(database)
        hooks = WebhookRepository(database)
        folders = Folders(folder)
        folders.create()
        room = DiskRoom(self._jobs.rooms, folders, 0)
        uploads = Uploads(UploadRepository(database), folders, room)
        self._janitor = Janitor(self._jobs, folders, uploads, hooks,
                                Retention(*[HISTORY + DAY] * 3), set,
                                Clock(ClockRepository(database)), database.sizes,
                                lambda job_id: asyncio.sleep(0))  # fmt: skip
        self._hooks = hooks
        self._chance = random.Random(1)
        self._new = itertools.count()
        self._last = max((job for job in jobs(sizes) if job.state == "processing"),
                         key=lambda job: job.created_at + job.seconds).id  # fmt: skip

    async def deep(self) -> list[int]:
        """How many rows an account's lists hold: jobs, ledger, deliveries."""
        return [(await call(1, 0))[1] for call in (self._page, self._ledger, self._deliveries)]

    async def probes(self) -> Iterator[Probe]:
        """All of them."""
        jobs_, entries, events = (max(0, total - PAGE) for total in await self.deep())
        return iter((
            Probe("claim a stage", self._claim, self._put_back),
            Probe("claim where none is ready", lambda: self._claim("separation")),
            Probe("accept a job", self._create, self._cancel),
            Probe("get a job", self._get),
            Probe("place in the queue", lambda: self._jobs.count_before(self._last), of_queue=True),
            Probe("forecast", self._jobs.forecast, of_queue=True),
            Probe("room of the queue", self._jobs.rooms.unfinished, of_queue=True),
            Probe("first to decode", self._jobs.rooms.first_to_decode),
            Probe("list jobs", lambda: self._page(PAGE, 0)),
            Probe("list jobs, last page", lambda: self._page(PAGE, jobs_)),
            Probe("list failed jobs", lambda: self._page(PAGE, 0, "failed")),
            Probe("balance", lambda: self._credits.balance(BIG)),
            Probe("ledger, last page", lambda: self._ledger(PAGE, entries)),
            Probe("deliveries, last page", lambda: self._deliveries(PAGE, events)),
            Probe("next delivery", lambda: self._hooks.next_time(NOW)),
            Probe("janitor's sweep", lambda: self._janitor.sweep(NOW)),
            Probe("recovery at the start",
                  lambda: self._jobs.stages.recover("bench", "machine", NOW)),
        ))  # fmt: skip

    async def _claim(self, pool: str = "audio") -> Claim | None:
        return await self._jobs.stages.claim(pool, "bench/1", NOW)

    async def _put_back(self, claim: Claim | None) -> None:
        assert claim is not None
        await self._jobs.stages.release(claim.stage, None, charge=False)

    async def _create(self) -> str:
        new = f"new-{next(self._new)}"
        await self._jobs.create(NewJob(
            id=new, api="stemsplit", options="{}", plan=PLAN, created_at=NOW,
            request=REQUEST % 180, account_id=BIG, seconds=1,
        ))  # fmt: skip
        return new

    async def _cancel(self, new: str) -> None:
        await self._jobs.cancel(new, "measured", NOW)

    async def _get(self) -> Any:
        of = self._sizes.finished + self._sizes.queued
        return await self._jobs.get(job_id(self._chance.randrange(of), of))

    async def _page(self, limit: int, offset: int, status: str | None = None) -> tuple[Any, int]:
        return await self._jobs.page(BIG, status, limit, offset)

    async def _ledger(self, limit: int, offset: int) -> tuple[Any, int]:
        return await self._credits.page(BIG, limit, offset)

    async def _deliveries(self, limit: int, offset: int) -> tuple[Any, int]:
        return await self._sent.page(BIG, None, limit, offset)


@asynccontextmanager
async def opened(path: Path, sizes: Sizes) -> Any:
    """A Store on the database at `path`."""
    with TemporaryDirectory(dir=path.parent) as folder:
        async with Database(path) as database:
            yield Store(database, sizes, Path(folder))
