"""The seven endpoints of the Audio Pipeline API: HTTP in, one call to the jobs room, HTTP out."""

import asyncio
from collections.abc import Callable

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api import downloads, multipart, uploads, wire
from server.api.answers import JobNotCompleted, Json, TrackNotFound
from server.api.auth import PipelineGuard
from server.api.file_names import song_of
from server.api.ports import JobService, JobView, Upload
from server.audio.sources.sniffing import SUPPORTED_FORMATS
from server.config import Config
from server.errors import StemboxError, UploadRejected

CheckUrl = Callable[[str], None]
"""Raises a StemboxError where the server must not call the URL."""


class Pipeline:
    """The endpoints, bound to the settings and to the jobs room."""

    def __init__(
        self, config: Config, jobs: JobService, guard: PipelineGuard, check_url: CheckUrl
    ) -> None:
        self._guard = guard
        self._check_url = check_url
        self._max_mb = config.limits.max_file_size_mb
        self._max_bytes = self._max_mb << 20
        self._jobs = jobs

    def routes(self) -> list[Route]:
        """The routes; the first that matches wins, so `all` stands before the track names."""
        lingering = [Middleware(uploads.Lingering)]
        return [
            Route("/health", self.health),
            Route("/config", self.config),
            Route("/process", self.process, methods=["POST"], middleware=lingering),
            Route("/job/{job_id}", self.job),
            Route("/job/{job_id}/outputs", self.outputs),
            Route("/download/{job_id}/all", self.download_all),
            Route("/download/{job_id}/{track_name}", self.download),
        ]

    async def health(self, _: Request) -> Response:
        """200 while a separation worker is ready, 503 with the same keys otherwise."""
        ready = self._jobs.ready()
        status = "healthy" if ready else "degraded"
        answer = wire.HealthAnswer(status, wire.API_VERSION, len(wire.PROCESSORS))
        return Json(answer, 200 if ready else 503)

    async def config(self, _: Request) -> Response:
        """What the server takes and runs, and what the jobs room tells of itself."""
        answer = wire.ConfigAnswer(
            max_file_size_mb=self._max_mb,
            supported_formats=list(SUPPORTED_FORMATS),
            pipeline_stages=[wire.PipelineStage(*stage) for stage in wire.PROCESSORS.items()],
        )
        return Json({**self._jobs.about(), **msgspec.to_builtins(answer)})

    async def process(self, request: Request) -> Response:
        """Takes one file and starts its job."""
        account = await self._guard.account(request)
        boundary = multipart.boundary_of(request.headers.get("content-type"))
        multipart.check_length(int(request.headers.get("content-length", 0)), self._max_bytes)
        job_id, folder = await self._jobs.reserve()
        try:
            form = await uploads.receive_form(request, boundary, folder / "input", self._max_bytes)
            callback_url = form.fields.get("callback_url") or None
            if callback_url is not None:
                self._check_callback(callback_url)
        except BaseException:
            await asyncio.shield(self._jobs.discard(job_id))  # a cancelled request's as well
            raise
        # From here on the jobs room cleans up: it may finish what the client has left.
        view = await self._jobs.submit(Upload(
            job_id, folder, form.file_name, form.size_bytes, account, callback_url
        ))  # fmt: skip
        return Json(wire.job_answer(view))

    async def job(self, request: Request) -> Response:
        """A job's status, stages and complete tracks."""
        return Json(wire.job_answer(await self._find(request)))

    async def outputs(self, request: Request) -> Response:
        """A job's complete tracks alone."""
        return Json(wire.outputs(await self._find(request)))

    async def download(self, request: Request) -> Response:
        """One track, as soon as it is complete."""
        view = await self._find(request)
        name = request.path_params["track_name"]
        if name not in view.tracks:
            raise TrackNotFound("Track not found")
        song = song_of(view.file_name, view.id)
        return await downloads.track(request, song, view.tracks[name], "audio/wav")

    async def download_all(self, request: Request) -> Response:
        """All tracks of a completed job."""
        view = await self._find(request)
        if view.state != "completed":
            raise JobNotCompleted("Job not completed")
        try:
            view = await self._jobs.sum_up(view)
        except FileNotFoundError:
            raise TrackNotFound("Track not found") from None
        song = song_of(view.file_name, view.id)
        return await downloads.archive(request, song, view.tracks, view.created_at)

    async def _find(self, request: Request) -> JobView:
        account = await self._guard.account(request)
        return await self._jobs.get(request.path_params["job_id"], account)

    def _check_callback(self, url: str) -> None:
        try:
            self._check_url(url)
        except StemboxError as error:
            raise UploadRejected(f"callback_url: {error.message}") from None
