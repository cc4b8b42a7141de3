"""Accepting jobs and telling about them: what the APIs call. Knows no HTTP."""

import asyncio
import errno
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from server.audio.tracks import TRACKS
from server.config import Config
from server.engine import catalog
from server.errors import AudioError, DiskFull, JobNotFound, ServerBusy, WorkerGone, WorkerLost
from server.jobs.dispatcher import Dispatcher
from server.jobs.folders import Folders
from server.jobs.plan import PIPELINE, StageView, shown_stages
from server.messages import Options, Task
from server.workers import Workers
from store import Job, JobRepository

log = structlog.get_logger()
PROBE_SECONDS = 30.0  # for looking at a file, waiting for a worker included
RETRY_AFTER = 30  # seconds, told to clients that found the queue full


class Upload(Struct, frozen=True):
    """A complete upload: `folder/input` holds its bytes, synced."""

    job_id: str
    folder: Path
    file_name: str
    size_bytes: int


class JobView(Struct, frozen=True):
    """A job as the APIs show it. Times are unix seconds; tracks are whole files."""

    id: str
    state: str
    created_at: float
    file_name: str
    stages: list[StageView]
    tracks: dict[str, Path]
    error: str | None


class JobService:
    """The jobs of one server."""

    def __init__(
        self, config: Config, jobs: JobRepository, workers: Workers, dispatcher: Dispatcher
    ) -> None:
        self._config = config
        self._jobs = jobs
        self._workers = workers
        self._dispatcher = dispatcher
        self._folders = Folders(config.data_dir)
        self._incoming: set[str] = set()

    async def reserve(self) -> tuple[str, Path]:
        """Admits a new upload: its job's id and an empty folder for its bytes.

        Raises:
            ServerBusy: too many jobs wait.
            DiskFull: the disk has too little room.
        """
        job_id = await self._admit()
        folder = self._folders.spool / job_id
        try:
            with full_disk_is_said():
                await asyncio.to_thread(folder.mkdir, mode=0o700)
        except BaseException:
            self._incoming.discard(job_id)
            raise
        return job_id, folder

    async def discard(self, job_id: str) -> None:
        """Forgets an upload and removes its bytes."""
        self._incoming.discard(job_id)
        await asyncio.to_thread(self._folders.remove, self._folders.spool, job_id)

    async def submit(self, upload: Upload) -> JobView:
        """Makes an upload a job.

        Raises:
            UnsupportedFormat, AudioError: its bytes are no audio; nothing is left of it.
        """
        try:
            options = self._options(upload)
            await self._probe(upload, options)
        except BaseException:
            await asyncio.shield(self.discard(upload.job_id))
            raise
        # From here on the client may go: what has begun is brought to its end.
        return await asyncio.shield(self._accept(upload, options))

    async def _accept(self, upload: Upload, options: Options) -> JobView:
        """Moves the files and stores the job: both, or neither."""
        job_id = upload.job_id
        try:
            with full_disk_is_said():
                await asyncio.to_thread(self._folders.accept, job_id)
                text = msgspec.json.encode(options).decode()
                job = await self._jobs.create(job_id, "pipeline", text, PIPELINE, time.time())
        except BaseException:
            await self.discard(job_id)
            for folder in (self._folders.scratch, self._folders.outputs):
                await asyncio.to_thread(self._folders.remove, folder, job_id)
            raise
        self._incoming.discard(job_id)
        log.info("job accepted", job=job.id, file=upload.file_name, bytes=upload.size_bytes,
                 model=options.model)
        await self._dispatcher.offer()
        return self._view(await self._jobs.get(job_id) or job)

    async def get(self, job_id: str) -> JobView:
        """Raises JobNotFound: never existed, or its retention is over."""
        job = await self._jobs.get(job_id)
        if job is None or job.state == "expired":
            raise JobNotFound("Job not found")
        return self._view(job)

    def ready(self) -> bool:
        """Whether a separation worker is ready."""
        return self._workers.ready("separation")

    def about(self) -> dict[str, Any]:
        """What this server runs on, for people: models by tier, workers and their devices."""
        return {"models": catalog.tiers(self._config), "workers": self._workers.describe()}

    def incoming(self) -> set[str]:
        """Ids of uploads that are still arriving."""
        return set(self._incoming)

    async def _admit(self) -> str:
        """The id of an upload that may come in; from now on it counts."""
        if self._folders.free_percent() < self._config.server.min_free_percent:
            raise DiskFull("The server's disk is almost full; no new work is accepted")
        arriving = set(self._incoming)  # one that becomes a job meanwhile is counted twice
        unfinished = await self._jobs.count_unfinished()
        if unfinished + len(arriving | self._incoming) >= self._config.limits.max_queued_jobs:
            raise ServerBusy("Too many jobs are waiting; try again later", RETRY_AFTER)
        job_id = str(uuid.uuid4())
        self._incoming.add(job_id)  # in the same step as the count
        return job_id

    async def _probe(self, upload: Upload, options: Options) -> None:
        """Has a worker process look at the bytes: a crash there is the file's fault."""
        task = Task(id=f"probe/{upload.job_id}", job=upload.job_id, stage="probe",
                    scratch=str(upload.folder), outputs="", options=options)
        deaths = 0
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                while deaths < 2:  # once may be the worker's own fault, twice is the file's
                    slot = await self._workers.reserve("probe")
                    try:
                        await slot.run(task)
                        return
                    except WorkerGone:
                        continue
                    except WorkerLost:
                        deaths += 1
        except TimeoutError:
            if not deaths:
                raise ServerBusy("The server cannot look at the file now", RETRY_AFTER) from None
        raise AudioError("The file cannot be read: the decoder failed on it")

    def _options(self, upload: Upload) -> Options:
        pipeline, models = self._config.pipeline, self._config.models
        return Options(
            file_name=upload.file_name,
            model=catalog.serving(pipeline.quality, self._config).name,
            overlap=models.tier(pipeline.quality)[1],
            wav_format=pipeline.wav_format,
            target_lufs=pipeline.target_lufs,
            true_peak_dbtp=pipeline.true_peak_dbtp,
            max_seconds=self._config.limits.max_audio_seconds,
        )

    def _view(self, job: Job) -> JobView:
        outputs = self._folders.outputs / job.id
        options = msgspec.json.decode(job.options, type=Options)
        return JobView(
            id=job.id,
            state=job.state,
            created_at=job.created_at,
            file_name=options.file_name,
            stages=shown_stages(job.stages),
            tracks={name: outputs / job.tracks[name] for name in TRACKS if name in job.tracks},
            error=job.error,
        )



@contextmanager
def full_disk_is_said() -> Iterator[None]:
    """Raises DiskFull where the system says that there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("The server's disk is full") from error
        raise
