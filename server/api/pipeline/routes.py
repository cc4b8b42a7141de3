"""The Audio Pipeline API's endpoints: HTTP in, one call to the jobs room, HTTP out."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api.answers import Json
from server.api.bodies import ENCODER
from server.api.files import downloads, media_types, multipart, uploads
from server.api.listening.events import EventStreams, Look
from server.api.listening.mixing import Mixing
from server.api.listening.windows import Listen
from server.api.pipeline import wire
from server.api.pipeline.guard import PipelineGuard
from server.api.ports import JobView, PipelineJobs, Services, Upload
from server.api.sharing import caller_of
from server.audio.sources.sniffing import SUPPORTED_FORMATS
from server.config import Config
from server.errors import (
    InvalidRequest,
    JobNotCompleted,
    StemboxError,
    TrackNotFound,
    UploadRejected,
)
from server.names import song_of
from server.sharing import SharedPlaces
from server.starter import demo_song
from server.stems import checked_stems

Fields = Mapping[str, Sequence[str]]  # of a form


class Pipeline:
    """The endpoints, bound to the settings and to the jobs room."""

    def __init__(
        self, config: Config, jobs: PipelineJobs, guard: PipelineGuard, services: Services,
        uploading: SharedPlaces,
    ) -> None:  # fmt: skip
        self._guard = guard
        self._uploading = uploading
        self._services = services
        self._listen = Listen(services.listening)
        self._mixing = Mixing(services.renders)
        self._streams = EventStreams()
        self._max_mb = config.limits.max_file_size_mb
        self._max_bytes = self._max_mb << 20
        self._retention_hours = config.jobs.retention_hours
        self._jobs = jobs

    def routes(self) -> list[Route]:
        """The routes; the first that matches wins, so track names come last."""
        return [
            Route("/config", self.config),
            Route("/process", self.process, methods=["POST"]),
            Route("/demo", self.demo, methods=["POST"]),
            Route("/job/{job_id}", self.job, methods=["GET", "DELETE"]),
            Route("/job/{job_id}/outputs", self.outputs),
            Route("/job/{job_id}/window", self.window),
            Route("/job/{job_id}/peaks", self.peaks),
            Route("/job/{job_id}/events", self.events),
            Route("/job/{job_id}/mix", self.mix),
            Route("/download/{job_id}/all", self.download_all),
            Route("/download/{job_id}/stems.stem.m4a", self.stem_file),
            Route("/download/{job_id}/{track_name}", self.download),
        ]

    async def config(self, request: Request) -> Response:
        """What the server takes and runs, and what the jobs room tells of itself. Where there are
        keys nobody without one hears how busy its workers are, and what they are kept from."""
        answer = wire.ConfigAnswer(
            max_file_size_mb=self._max_mb,
            supported_formats=list(SUPPORTED_FORMATS),
            pipeline_stages=[wire.PipelineStage(*stage) for stage in wire.PROCESSORS.items()],
            installed_models=[msgspec.convert(model, wire.ModelAnswer, from_attributes=True)
                              for model in await self._services.models.installed()],
        )
        more = {"demo": True, "retention_hours": self._retention_hours}
        about = self._jobs.about()
        if not await self._guard.knows(request):
            about |= {"workers": [{name: worker[name] for name in wire.PLAIN_WORKER}
                                  for worker in about.get("workers", [])]}  # fmt: skip
        return Json({**about, **more, **msgspec.to_builtins(answer)})

    async def process(self, request: Request) -> Response:
        """Takes one file and starts its job."""
        caller = await self._guard.caller(request)
        boundary = multipart.boundary_of(media_types.said_by(request.headers))
        multipart.check_length(uploads.length_of(request.headers) or 0, self._max_bytes)
        size = uploads.announced(request, self._max_bytes)
        turn = caller_of(request.scope, caller.account_id)
        with self._uploading.taken(turn):
            job_id, folder = await self._jobs.reserve(size, turn)
            try:
                target = folder / "input"
                form = await uploads.receive_form(request, boundary, target, self._max_bytes)
                stems, model = _stems(form.fields), _single_field(form.fields, "model")
                callback_url = _single_field(form.fields, "callback_url")
                if callback_url is not None:
                    self._check_callback(callback_url)
            except BaseException:
                await asyncio.shield(self._jobs.discard(job_id))  # a cancelled request's as well
                raise
        # From here on the jobs room cleans up: it may finish what the client has left.
        view = await self._jobs.submit(Upload(
            job_id, folder, form.file_name, form.size_bytes, caller.account_id, callback_url,
            turn, caller.test, stems, model,
        ))  # fmt: skip
        return Json(wire.job_answer(view))

    async def demo(self, request: Request) -> Response:
        """Starts a job with the song that comes with the server."""
        caller = await self._guard.caller(request)
        turn = caller_of(request.scope, caller.account_id)
        with self._uploading.taken(turn):
            job_id, folder = await self._jobs.reserve(demo_song.size(), turn)
            try:
                size = await asyncio.to_thread(demo_song.copy_to, folder / "input")
            except BaseException:
                await asyncio.shield(self._jobs.discard(job_id))
                raise
        view = await self._jobs.submit(Upload(
            job_id, folder, demo_song.NAME, size, caller.account_id, caller=turn, test=caller.test
        ))  # fmt: skip
        return Json(wire.job_answer(view))

    async def job(self, request: Request) -> Response:
        """A job's status, stages and complete tracks, and how it stands; or its removal."""
        if request.method == "DELETE":
            account = await self._guard.account(request)
            await self._jobs.delete(request.path_params["job_id"], account)
            return Json(wire.DeletedAnswer(request.path_params["job_id"], True))
        view = await self._find(request)
        return Json(wire.job_details(view, await self._services.outlooks.of(view.stored)))

    async def outputs(self, request: Request) -> Response:
        """A job's complete tracks alone."""
        return Json(wire.outputs(await self._find(request)))

    async def window(self, request: Request) -> Response:
        """What is final of some tracks, from one place on."""
        return await self._listen.window(request, (await self._find(request)).id)

    async def peaks(self, request: Request) -> Response:
        """What the waveforms of all tracks are drawn from."""
        return await self._listen.peaks(request, (await self._find(request)).id)

    async def events(self, request: Request) -> Response:
        """The answers of `job`, whenever they change, until the job has ended."""
        account, job_id = await self._guard.account(request), request.path_params["job_id"]

        async def look() -> Look:
            view = await self._jobs.get(job_id, account)
            answer = wire.job_details(view, await self._services.outlooks.of(view.stored))
            return Look(ENCODER.encode(answer), view.state != "processing")

        return await self._streams.answer(request, (job_id, account), look, lambda told: told)

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

    async def mix(self, request: Request) -> Response:
        """The tracks of a job as one file, as loud as the query says."""
        view = await self._find(request)
        return await self._mixing.mix(request, view.id, song_of(view.file_name, view.id))

    async def stem_file(self, request: Request) -> Response:
        """The stems as one file for DJ software."""
        view = await self._find(request)
        return await self._mixing.stem_file(request, view.id, song_of(view.file_name, view.id))

    async def _find(self, request: Request) -> JobView:
        account = await self._guard.account(request)
        return await self._jobs.get(request.path_params["job_id"], account)

    def _check_callback(self, url: str) -> None:
        try:
            self._services.webhooks.check_url(url)
        except StemboxError as error:
            raise UploadRejected(f"callback_url: {error.message}") from None


def _single_field(fields: Fields, name: str) -> str | None:
    """A field's text, None for an empty one. Raises InvalidRequest."""
    texts = fields.get(name, ())
    if len(texts) > 1:
        raise InvalidRequest(f"{name} must be given once")
    return next(iter(texts), "") or None


def _stems(fields: Fields) -> tuple[str, ...] | None:
    """The stems that a form asks for: names separated by commas, a JSON list of them, or a field
    each. Raises InvalidRequest."""
    texts = [text.strip() for text in fields.get("stems", ()) if text.strip()]
    return checked_stems([name for text in texts for name in _names(text)]) if texts else None


def _names(text: str) -> list[str]:
    if not text.startswith("["):
        return [name.strip() for name in text.split(",")]
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        raise InvalidRequest("stems must be a list of names") from None
