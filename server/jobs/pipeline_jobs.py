"""The jobs of the Audio Pipeline API: accepting them and telling about them. Knows no HTTP."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct, structs

from server.audio.heard import Heard
from server.config import Config
from server.engine.library import choice
from server.errors import JobNotFound
from server.jobs.disk.room import with_room
from server.jobs.disk.track_files import Checksums, TrackFile
from server.jobs.dispatcher import Dispatcher
from server.jobs.outcomes import CANCELLED
from server.jobs.plan import PIPELINE, StageView, heard_of, shown_stages
from server.jobs.reading import options_of
from server.jobs.sources.intake import LIKELY_RATE, Intake
from server.stems import FOUR, checked_stems
from server.tracks import tracks_of
from server.work.messages import Options
from server.work.workers import Workers
from store import Job, JobRepository, NewJob

log = structlog.get_logger()


class Upload(Struct, frozen=True):
    """A complete upload: `folder/input` holds its bytes, synced. `test`: by a test key."""

    job_id: str
    folder: Path
    file_name: str
    size_bytes: int
    account_id: str | None = None
    callback_url: str | None = None
    caller: str = ""  # whose turn it takes
    test: bool = False
    stems: tuple[str, ...] | None = None  # what the model is to make in place of the four
    model: str | None = None  # and which one


class JobView(Struct, frozen=True):
    """A job as the APIs show it. Times are unix seconds; tracks are whole files; `stored` is what
    all of it is from, so that what is told beside it is of the same moment."""

    id: str
    state: str
    created_at: float
    file_name: str
    stages: list[StageView]
    tracks: Mapping[str, TrackFile]
    error: str | None
    heard: Heard | None
    stored: Job


class PipelineJobs:
    """The pipeline jobs of one server."""

    def __init__(
        self, config: Config, jobs: JobRepository, intake: Intake, workers: Workers,
        dispatcher: Dispatcher,
    ) -> None:  # fmt: skip
        self._config = config
        self._jobs = jobs
        self._intake = intake
        self._workers = workers
        self._dispatcher = dispatcher
        self._checksums = Checksums(jobs)

    async def reserve(self, size: int, caller: str) -> tuple[str, Path]:
        """Admits a caller's new upload of so many bytes: its job's id and an empty folder for them.

        Raises:
            ServerBusy: too many jobs wait.
            DiskFull: the disk has too little room.
        """
        return await self._intake.reserve(size, caller)

    async def discard(self, job_id: str) -> None:
        """Forgets an upload and removes its bytes."""
        await self._intake.discard(job_id)

    async def submit(self, upload: Upload) -> JobView:
        """Makes an upload a job.

        Raises:
            UnsupportedFormat, AudioError: its bytes are no audio; nothing is left of it.
            ServerBusy, DiskFull: it came in, and there is no room for its job.
        """
        try:
            options = await asyncio.to_thread(self._options, upload)  # it looks at files
            await self._intake.enter(upload.job_id, upload.caller or None)
            facts = await self._intake.look(
                upload.job_id, upload.folder, options, caller=upload.caller
            )
        except BaseException:
            await asyncio.shield(self.discard(upload.job_id))
            raise
        # From here on the client may go: what has begun is brought to its end.
        return await asyncio.shield(self._accept(upload, options, facts["seconds"]))

    async def _accept(self, upload: Upload, options: Options, claimed: float | None) -> JobView:
        # What the file says of its length decides who goes first, and how much room is kept for
        # it, until it is decoded; one that says nothing is taken for a lightly coded one.
        seconds = claimed if claimed and claimed > 0 else upload.size_bytes / LIKELY_RATE
        seconds = min(seconds, options.max_seconds)
        request = msgspec.json.encode({"seconds": seconds}).decode()
        job = await self._intake.accept(with_room(NewJob(
            id=upload.job_id, api="pipeline", options=msgspec.json.encode(options).decode(),
            plan=PIPELINE, created_at=time.time(), account_id=upload.account_id,
            address=None if upload.account_id else upload.caller or None,
            callback_url=upload.callback_url, request=request,
        ), seconds))  # fmt: skip
        log.info("job accepted", job=job.id, file=upload.file_name, bytes=upload.size_bytes,
                 model=options.model)
        await self._dispatcher.wake_and_wait()
        return self.view(await self._jobs.get(job.id) or job)

    async def get(self, job_id: str, account_id: str | None = None) -> JobView:
        """Raises JobNotFound: never existed, not this account's, or its retention is over."""
        job = await self._jobs.get(job_id)
        if job is None or job.state == "expired" or job.api != "pipeline" \
                or job.account_id != account_id:  # fmt: skip
            raise JobNotFound("Job not found")
        return self.view(job)

    async def sum_up(self, view: JobView) -> JobView:
        """The job with size and CRC-32 of every track. Raises OSError: a file is gone."""
        tracks = await self._checksums.complete(view.id, view.tracks)
        return structs.replace(view, tracks=tracks)

    async def delete(self, job_id: str, account_id: str | None = None) -> None:
        """Stops the job, if it is this account's, and removes it with its files.

        Raises JobNotFound.
        """
        await self.get(job_id, account_id)
        await asyncio.shield(self._remove(job_id))

    async def _remove(self, job_id: str) -> None:
        if await self._jobs.discard(job_id, CANCELLED, time.time()):
            log.info("job cancelled", job=job_id)
        await self._dispatcher.cancel(job_id)
        folders = self._intake.folders
        await asyncio.to_thread(folders.remove, folders.outputs, job_id)
        log.info("job removed", job=job_id)

    def about(self) -> dict[str, Any]:
        """What this server runs on, for people: models by tier, workers and their devices."""
        return {"models": choice.tiers(self._config), "workers": self._workers.describe()}

    def _options(self, upload: Upload) -> Options:
        pipeline = self._config.pipeline
        found, stems = self._model(upload)
        return choice.options(
            found, stems, pipeline.quality, self._config,
            file_name=upload.file_name, samples=pipeline.wav_format,
        )  # fmt: skip

    def _model(self, upload: Upload) -> tuple[choice.Choice, tuple[str, ...]]:
        """What makes an upload's stems, and which they are: all that a model makes if it is named,
        and they are not."""
        config, quality, name = self._config, self._config.pipeline.quality, upload.model
        if upload.test:
            name = choice.starter(config).name
        elif upload.stems is None and name is None:
            return choice.serving(quality, config), FOUR
        wanted = upload.stems or FOUR
        if upload.stems is None and not upload.test:
            found = choice.making((), quality, config, name)
            wanted = checked_stems(found.stems or FOUR)
        return choice.making(wanted, quality, config, name), wanted

    def view(self, job: Job) -> JobView:
        """A stored pipeline job as its API shows it, and a callback of one that has expired."""
        outputs = self._intake.folders.outputs / job.id
        options = options_of(job)
        return JobView(
            id=job.id,
            state=_shown_state(job),
            created_at=job.created_at,
            file_name=options.file_name,
            stages=shown_stages(job),
            tracks={
                name: TrackFile(outputs / track.path, track.size, track.crc)
                for name in tracks_of(options.stems) if (track := job.tracks.get(name))
            } if job.state != "expired" else {},  # then its files are gone, or go just now
            error=job.error,
            heard=heard_of(job.stages),
            stored=job,
        )


def _shown_state(job: Job) -> str:
    """A job that has expired before its callback was sent is told of as it ended."""
    if job.state != "expired":
        return job.state
    return "completed" if job.error is None else "failed"
