"""The StemSplit API's jobs as they are heard, by the signed URLs that `GET /jobs/{id}` tells."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api.bodies import ENCODER
from server.api.listening.events import EventStreams, Look
from server.api.listening.mixing import Mixing
from server.api.listening.windows import Listen
from server.api.parameters import query_of
from server.api.ports import Outlook, Services, SplitJob
from server.api.signing import Signer
from server.api.v1 import wire
from server.errors import JobNotFound, TrackNotFound
from server.names import song_of

MINTED_SECONDS: Final = 1800.0  # events tell new URLs this often: no one that is told is too old
Facts = tuple[SplitJob, Outlook | None, float]
Detail = Callable[[Request, SplitJob, Outlook | None, float], wire.JobDetailResponse]


class SignedListening:
    """The endpoints, bound to the jobs room. detail: a job's own answer, as of a time."""

    def __init__(self, services: Services, signer: Signer, detail: Detail) -> None:
        self._services = services
        self._signer = signer
        self._detail = detail
        self._listen = Listen(services.listening)
        self._mixing = Mixing(services.renders)
        self._streams = EventStreams()

    def routes(self) -> list[Route]:
        """The routes, below those of files."""
        handlers = (self.window, self.peaks, self.events, self.mix, self.stem_file)
        return [
            Route(f"/downloads/{{id}}/{name}", handler)
            for name, handler in zip(wire.STUDIO, handlers, strict=True)
        ]

    async def window(self, request: Request) -> Response:
        """What is final of some tracks, from one place on."""
        return await self._of_job(request, lambda job: self._listen.window(request, job.job.id))

    async def peaks(self, request: Request) -> Response:
        """What the waveforms of all tracks are drawn from."""
        return await self._of_job(request, lambda job: self._listen.peaks(request, job.job.id))

    async def events(self, request: Request) -> Response:
        """The answers of `GET /jobs/{id}`, whenever they change, until the job has ended.

        But for the `metadata`, which are between the account and us. New URLs are told while the
        job runs, however long; those of an ended one go when this one goes, or an hour after the
        end, or they would last for ever.
        """
        expires = self._check(request)
        job_id = request.path_params["id"]

        async def look() -> Facts:
            job = await self._services.stemsplit.find(job_id)
            minted = time.time() // MINTED_SECONDS * MINTED_SECONDS
            return job, await self._services.outlook_of(job), minted

        def tell(facts: Facts) -> Look:  # its URLs begin as this one's client has called us
            job, outlook, minted = facts
            ended = job.status not in ("pending", "processing")
            if ended:  # they last as long as this one's, or an hour from the end
                last = max(expires - wire.DOWNLOAD_SECONDS, job.job.completed_at or 0.0)
                minted = min(minted, last)
            answer = structs.replace(self._detail(request, job, outlook, minted), metadata=None)
            return Look(ENCODER.encode(answer), ended)

        return await self._streams.answer(request, job_id, look, tell)

    async def mix(self, request: Request) -> Response:
        """The tracks of a job as one file, as loud as the query says."""
        return await self._of_job(
            request, lambda job: self._mixing.mix(request, job.job.id, _song(job))
        )

    async def stem_file(self, request: Request) -> Response:
        """The stems as one file for DJ software."""
        return await self._of_job(
            request, lambda job: self._mixing.stem_file(request, job.job.id, _song(job))
        )

    async def _of_job(
        self, request: Request, answer: Callable[[SplitJob], Awaitable[Response]]
    ) -> Response:
        """What a signed URL is for. Raises TrackNotFound: the job's files are gone."""
        self._check(request)
        job = await self._services.stemsplit.find(request.path_params["id"])
        try:
            return await answer(job)
        except JobNotFound:  # it was found: it is still told of, as one that has expired
            raise TrackNotFound("This file has been removed.") from None

    def _check(self, request: Request) -> int:
        """Until when the URL may be used."""
        query, job_id = query_of(request).multi_items(), request.path_params["id"]
        return self._signer.check_download(job_id, wire.LISTENING, query, time.time())


def _song(job: SplitJob) -> str:
    return song_of(job.request.file_name, job.job.id)
