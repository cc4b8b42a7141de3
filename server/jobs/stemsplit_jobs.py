"""The jobs of the StemSplit API: accepting, telling, cancelling. Knows no HTTP."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from server.config import Config
from server.engine.library import choice
from server.errors import JobNotFound, NotEnoughCredits
from server.jobs.accounts import Accounts
from server.jobs.bounds import Bounds
from server.jobs.disk.room import with_room
from server.jobs.disk.track_files import TrackFile
from server.jobs.dispatcher import Dispatcher
from server.jobs.idempotency import ANSWER_HOURS, Idempotency, difference, first_answer
from server.jobs.keyed import KeyedSemaphore
from server.jobs.orders import Created, Order, Request, SplitJob, with_length
from server.jobs.outcomes import CANCELLED
from server.jobs.plan import heard_of, split_plan
from server.jobs.simulating import check_simulation, simulation
from server.jobs.sources.fetching import Fetcher
from server.jobs.sources.intake import Intake
from server.jobs.sources.uploads import Uploads
from server.names import name_in_url
from server.stems import FOUR, checked_stems
from server.work.messages import Format, Options
from store import (
    AnsweredBefore,
    IdempotencyRecord,
    InsufficientCredits,
    Job,
    JobRepository,
    NewJob,
)

log = structlog.get_logger()
AT_ONCE = 2  # sources of one account that are brought in at the same time
TURN_SECONDS = 5.0  # that a source from elsewhere waits for its turn; then it comes later
# From an order to its answer, at about the most: partners' clients wait for half a minute, and then
# post again. What is not measured by then is measured in the background.
ANSWER_SECONDS = 15.0
FIRST_PACE = 1.0  # seconds of work for a second of audio, until one job has told
UNNAMED = "input"  # a file that nobody has named


class StemSplitJobs:
    """The StemSplit jobs of one server."""

    def __init__(
        self, config: Config, jobs: JobRepository, intake: Intake, accounts: Accounts,
        uploads: Uploads, fetcher: Fetcher, dispatcher: Dispatcher,
    ) -> None:  # fmt: skip
        self._config = config
        self._jobs = jobs
        self._intake = intake
        self._accounts = accounts
        self._uploads = uploads
        self._fetcher = fetcher
        self._dispatcher = dispatcher
        self._bounds = Bounds(jobs)
        self._locks: KeyedSemaphore[tuple[str, str]] = KeyedSemaphore(1)
        self._turns: KeyedSemaphore[str] = KeyedSemaphore(AT_ONCE)

    async def create(
        self, order: Order, render: Callable[[Created], bytes], once: Idempotency | None = None
    ) -> bytes:
        """Accepts a job; returns what `render` makes of it, or the first answer to `once.key`.

        Raises:
            IdempotencyConflict: the key came before with another body.
            AudioError, AudioTooLong, AudioTooShort: the audio cannot be taken.
            UploadNotFound, AddressForbidden, Unreachable, FileTooLarge: there is none.
            NotEnoughCredits, ServerBusy, TooManyAtOnce, DiskFull.
        """
        async with self._one_at_a_time(order.account_id, once):
            try:
                if once is not None:
                    await self._jobs.check_idempotency(order.account_id, once.key, _remembered())
                # What has begun is brought to its end even if the client goes.
                return await asyncio.shield(self._create(order, render, once))
            except AnsweredBefore as before:
                assert once is not None
                return first_answer(before, once, difference(order, before))

    async def get(self, account_id: str, job_id: str) -> SplitJob:
        """Raises JobNotFound: never existed, or not this account's."""
        job = await self._jobs.get(job_id)
        if job is None or job.api != "stemsplit" or job.account_id != account_id:
            raise JobNotFound("Job not found.")
        return self.view(job)

    async def find(self, job_id: str) -> SplitJob:
        """The job, whoever's it is: a signature has spoken for the caller. Raises JobNotFound."""
        job = await self._jobs.get(job_id)
        if job is None or job.api != "stemsplit":
            raise JobNotFound("Job not found.")
        return self.view(job)

    def file(self, job: SplitJob, name: str) -> TrackFile | None:
        """The finished file of that name of a completed job; None if it has no such file."""
        if job.status != "completed" or name not in job.files.values():
            return None
        track = next(track for track in job.job.tracks.values() if track.path == name)
        outputs = self._intake.folders.outputs / job.job.id
        return TrackFile(outputs / name, track.size, track.crc)

    async def page(
        self, account_id: str, status: str | None, limit: int, offset: int
    ) -> tuple[list[SplitJob], int]:
        """A page of an account's jobs, newest first, and how many there are."""
        jobs, total = await self._jobs.page(account_id, status, limit, offset)
        return [self.view(job) for job in jobs], total

    async def delete(self, account_id: str, job_id: str) -> None:
        """Cancels a job that is not finished, removes the files of one that is.

        Raises JobNotFound.
        """
        await self.get(account_id, job_id)
        await asyncio.shield(self._remove(job_id))

    async def _remove(self, job_id: str) -> None:
        if await self._jobs.cancel(job_id, CANCELLED, time.time()):
            log.info("job cancelled", job=job_id)
        elif await self._jobs.remove(job_id, time.time()):
            log.info("job removed", job=job_id)
        await self._fetcher.cancel(job_id)
        await self._dispatcher.cancel(job_id)
        folders = self._intake.folders
        await asyncio.to_thread(folders.remove, folders.outputs, job_id)

    def view(self, job: Job) -> SplitJob:
        """A stored StemSplit job as its API shows it."""
        request = msgspec.json.decode(job.request, type=Request)
        status = "pending" if job.state == "processing" and job.started_at is None else job.state
        facts: dict[str, Any] = {}
        for stage in job.stages:
            if stage.name == "describe":
                facts = msgspec.json.decode(stage.facts)
        wanted = {
            track: job.tracks[track].path for track in request.tracks
            if track in job.tracks
        }  # fmt: skip
        return SplitJob(
            job, request, status, wanted, facts.get("bpm"), facts.get("key"), heard_of(job.stages)
        )

    @asynccontextmanager
    async def _one_at_a_time(
        self, account_id: str, once: Idempotency | None
    ) -> AsyncIterator[None]:
        """Requests with one Idempotency-Key wait for each other: only the first does the work."""
        if once is None:
            yield
            return
        async with self._locks.enter((account_id, once.key)):
            yield

    async def _create(
        self, order: Order, render: Callable[[Created], bytes], once: Idempotency | None
    ) -> bytes:
        check_simulation(order)
        async with self._bounds.within(order) as later:
            if order.source_url is not None:
                await self._check_balance(order)
            return await self._take(order, render, once, later)

    async def _take(
        self, order: Order, render: Callable[[Created], bytes], once: Idempotency | None,
        later: Callable[[], Awaitable[None]],
    ) -> bytes:  # fmt: skip
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        fetched = 0 if order.source_url is None else self._config.limits.max_upload_mb << 20
        job_id, folder = await self._intake.reserve(fetched, order.account_id)
        try:
            await self._intake.enter(job_id, order.account_id)
            order = await asyncio.to_thread(self._told, order)  # it looks at files, as the next
            request = await asyncio.to_thread(self._request, order)
            found = await self._bring_in(order, request, job_id, folder)
            request = found or request
            options = await asyncio.to_thread(self._options, order, request)
            if found is not None:
                facts = await self._measured(order, job_id, folder, options, until)
                if facts is None:
                    await self._check_balance(order)
                    await later()
                else:
                    request = with_length(request, facts["frames"], self._config)
            answer = await self._accept(order, job_id, request, options, render, once)
        except BaseException:
            await self._fetcher.cancel(job_id)
            await self._intake.discard(job_id)
            raise
        if order.upload_key is not None:
            await self._uploads.used(order.upload_key)
        return answer

    async def _check_balance(self, order: Order) -> None:
        """Of what comes or is measured later: can the account pay for any? Else what an order needs
        is told to the second."""
        if order.test:
            return
        least = max(1, math.ceil(self._config.limits.min_audio_seconds))
        if (await self._accounts.balance(order.account_id))[0] < least:
            raise NotEnoughCredits(least)

    async def _bring_in(
        self, order: Order, request: Request, job_id: str, folder: Path
    ) -> Request | None:
        """Puts the source's bytes at `folder/input`; None where that takes too long: then it is
        fetched in the background."""
        async with AsyncExitStack() as stack:
            turn = self._turns.enter(order.account_id)
            try:
                async with asyncio.timeout(TURN_SECONDS if order.source_url else None):
                    await stack.enter_async_context(turn)
            except TimeoutError:
                return None
            if order.upload_key is None:
                return await self._fetcher.try_now(job_id, request, folder)
            ticket = await self._uploads.take(order.account_id, order.upload_key, folder)
            return msgspec.structs.replace(
                request, file_name=order.file_name or ticket.file_name, size_bytes=ticket.size or 0
            )

    async def _measured(
        self, order: Order, job_id: str, folder: Path, options: Options, until: float
    ) -> dict[str, Any] | None:
        """What is found in `folder/input`; None where nobody has found it by `until`."""
        try:
            async with asyncio.timeout_at(until):
                return await self._intake.measure(order.account_id, job_id, folder, options)
        except TimeoutError:
            return None

    async def _accept(
        self, order: Order, job_id: str, request: Request, options: Options,
        render: Callable[[Created], bytes], once: Idempotency | None,
    ) -> bytes:  # fmt: skip
        now, known = time.time(), request.seconds > 0
        credits = 0 if order.test else math.ceil(request.seconds)
        pace, waiting = await self._jobs.forecast(due=now + request.seconds)
        estimate = math.ceil((pace or FIRST_PACE) * (waiting + request.seconds))
        answer = render(Created(job_id, now, request, credits, estimate))
        try:
            await self._intake.accept(with_room(NewJob(
                id=job_id, api="stemsplit", options=msgspec.json.encode(options).decode(),
                plan=split_plan(order.tracks, known, bool(simulation(request))),
                created_at=now,
                request=msgspec.json.encode(request).decode(), account_id=order.account_id,
                callback_url=order.callback_url,
                seconds=credits if known and not order.test else None,
                idempotency_record=once
                and IdempotencyRecord(*once, answer.decode(), _remembered()),
            ), request.seconds))  # fmt: skip
        except InsufficientCredits:
            raise NotEnoughCredits(credits) from None
        # the end of a source's URL may be what opens it
        told = request.file_name if order.file_name or not order.source_url else "of a URL"
        log.info("job accepted", job=job_id, account=order.account_id, file=told,
                 seconds=round(request.seconds, 1), model=request.model)  # fmt: skip
        self._fetcher.wake()
        self._dispatcher.wake()
        return answer

    def _told(self, order: Order) -> Order:
        """The order with its stems by name, where it wants all that a model makes. A test job has
        another model."""
        if not order.whole or order.test:
            return order
        found = choice.making((), order.quality, self._config, order.model)
        stems = checked_stems(found.stems or FOUR)
        return msgspec.structs.replace(order, stems=stems)

    def _request(self, order: Order) -> Request:
        return Request(
            output_type=order.output_type, quality=order.quality,
            output_format=order.output_format, named=order.file_name is not None,
            file_name=order.file_name or name_in_url(order.source_url or "") or UNNAMED,
            model=self._model(order).name, stems=order.stems,
            base_url=order.base_url, source_url=order.source_url, metadata=order.metadata,
            test=order.test,
        )  # fmt: skip

    def _model(self, order: Order) -> choice.Choice:
        config = self._config
        if order.test:
            starter = choice.starter(config)
            return choice.making(order.tracks, order.quality, config, starter.name)
        if order.stems is None and order.model is None:
            return choice.serving(order.quality, config, order.tracks)
        return choice.making(order.tracks, order.quality, config, order.model)

    def _options(self, order: Order, request: Request) -> Options:
        config, stems = self._config, order.tracks
        found = choice.revalidated(request.model, stems, config)
        form = cast(Format, order.output_format)
        return choice.options(
            found, stems, order.quality, config,
            file_name=request.file_name, form=form, samples=config.stemsplit.samples_of(form),
        )  # fmt: skip


def _remembered() -> float:
    return time.time() - ANSWER_HOURS * 3600
