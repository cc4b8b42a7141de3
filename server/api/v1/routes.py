"""The StemSplit API's endpoints: HTTP in, one call to the jobs room, HTTP out."""

import asyncio
import re
import time
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api import parameters
from server.api.answers import Json
from server.api.bodies import ENCODER
from server.api.files import downloads, media_types, uploads
from server.api.ports import Idempotency, Order, Outlook, Services, SplitJob, meaning
from server.api.signing import BASE, DownloadGrant, Signer, UploadGrant
from server.api.v1 import openapi, upload_headers, wire
from server.api.v1.account import AccountRoutes
from server.api.v1.requests import account_of, decode, idempotency_key, page_of, route
from server.config import Config
from server.errors import InvalidRequest, TrackNotFound
from server.names import clean_name, song_of
from server.sharing import SharedPlaces
from server.stems import checked_stems

HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?").fullmatch
MOST_DEPTH: Final = 32  # of a job's metadata
MOST_METADATA: Final = 16 << 10  # bytes of a job's metadata


class Routes:
    """The endpoints, bound to the settings and to the jobs room."""

    def __init__(
        self, config: Config, services: Services, signer: Signer, uploading: SharedPlaces
    ) -> None:
        self._uploading = uploading
        self._config = config
        self._services = services
        self._signer = signer
        self._max_bytes = config.limits.max_upload_mb << 20
        self._retention = config.jobs.retention_hours * 3600
        self._account = AccountRoutes(services)
        self._document = ENCODER.encode(openapi.document(config))

    def routes(self) -> list[Route]:
        """One route for a path, so that a wrong method is told all right ones. Those that are
        asked most come first."""
        return [
            route("/jobs", {"GET": self.list_jobs, "POST": self.create_job}),
            route("/jobs/{id}", {"GET": self.get_job, "DELETE": self.delete_job}),
            route("/upload", {"POST": self.create_upload}),
            route("/uploads/{account}/{random}/{name}", {"PUT": self.put_upload}),
            route("/webhooks", {"GET": self.list_webhooks, "POST": self.create_webhook}),
            route("/webhooks/{id}", {"DELETE": self.delete_webhook}),
            *self._account.routes(),
            route("/models", {"GET": self.list_models}),
            route("/openapi", {"GET": self.openapi}),
        ]

    def files(self) -> list[Route]:
        """The route of a job's files, whose names may be any."""
        return [route("/downloads/{id}/{name}", {"GET": self.download})]

    async def create_job(self, request: Request) -> Response:
        """Accepts a job."""
        body = await decode(request, wire.CreateJobRequest)
        if (body.upload_key is None) == (body.source_url is None):
            raise InvalidRequest("Give either uploadKey or sourceUrl")
        _check_metadata(body.metadata)
        if body.callback_url is not None:
            self._services.webhooks.check_url(body.callback_url)
        fields = body.asked()
        if body.file_name is not None:
            fields["file_name"] = _file_name(body.file_name)
        if body.stems is not None:
            fields["stems"] = checked_stems(body.stems)
        order = Order(
            account_id=account_of(request), base_url=self.base_url(request),
            test=request.state.test, **fields,
        )  # fmt: skip
        answer = await self._services.stemsplit.create(order, _render, _idempotency(request, order))
        return Response(answer, 201, media_type="application/json")

    async def list_models(self, _: Request) -> Response:
        """The models that can be asked for, and what they make."""
        return Json(wire.models_list(await self._services.models.installed()))

    async def list_jobs(self, request: Request) -> Response:
        """A page of the account's jobs."""
        limit, offset = page_of(request)
        status = parameters.text(request, "status")
        if status is not None and status not in wire.STATUSES:
            raise InvalidRequest(f"status must be one of {', '.join(wire.STATUSES)}")
        wanted = None if status is None else status.lower()
        account, jobs_of = account_of(request), self._services.stemsplit
        jobs, total = await jobs_of.page(account, wanted, limit, offset)
        return Json(wire.jobs_list(jobs, total, limit, offset))

    async def get_job(self, request: Request) -> Response:
        """One job, with fresh download URLs."""
        job = await self._services.stemsplit.get(account_of(request), request.path_params["id"])
        outlook = await self._services.outlook_of(job)
        return Json(self.detail(request, job, outlook, time.time()))

    def detail(
        self, request: Request, job: SplitJob, outlook: Outlook | None, now: float
    ) -> wire.JobDetailResponse:
        """One job, with URLs as of `now`."""
        return wire.detail(job, self._minting(request), now, self._retention, outlook)

    async def delete_job(self, request: Request) -> Response:
        """Cancels a job, or removes its files."""
        await self._services.stemsplit.delete(account_of(request), request.path_params["id"])
        return Json(wire.DeletedResponse(deleted=True))

    async def create_upload(self, request: Request) -> Response:
        """A signed URL to PUT one file to."""
        body = await decode(request, wire.UploadRequest)
        name, chosen = _file_name(body.filename), (body.content_type or "").strip()
        ticket = await self._services.uploads.ticket(account_of(request), name)
        grant = UploadGrant(
            ticket.key, int(ticket.expires_at), self._max_bytes,
            media_types.essence(chosen) if chosen else None,
        )  # fmt: skip
        return Json(wire.UploadResponse(
            upload_url=self.base_url(request) + self._signer.upload_path(grant),
            upload_key=ticket.key, expires_at=wire.timestamp(ticket.expires_at),
            max_file_size_bytes=self._max_bytes, max_file_size_mb=self._max_bytes >> 20,
            content_type=chosen or media_types.likely(name),
            instructions=wire.instructions(chosen),
        ))  # fmt: skip

    async def put_upload(self, request: Request) -> Response:
        """Takes the bytes of a signed upload; the same bytes again get the same answer."""
        key = request.scope["path"].removeprefix(f"{BASE}/")
        query = parameters.query_of(request).multi_items()
        grant = self._signer.check_upload(key, query, time.time())
        upload_headers.check(request.headers, grant)
        store = self._services.uploads
        size = uploads.announced(request, grant.max_bytes)
        with self._uploading.taken(request.path_params["account"]):
            async with store.arriving(key, size) as part:
                body = await uploads.receive_body(request, part, grant.max_bytes)
                if body.size_bytes == 0:
                    raise InvalidRequest("The file is empty")
                await asyncio.shield(store.receive(key, part, body.size_bytes, body.sha256))
        return Json(wire.UploadedResponse(upload_key=key, file_size_bytes=body.size_bytes))

    async def download(self, request: Request) -> Response:
        """A finished track, by its signed URL."""
        job_id, name = request.path_params["id"], request.path_params["name"]
        query = parameters.query_of(request).multi_items()
        self._signer.check_download(job_id, name, query, time.time())
        job = await self._services.stemsplit.find(job_id)
        file = self._services.stemsplit.file(job, name)
        if file is None:
            raise TrackNotFound("This file has been removed.")
        song = song_of(job.request.file_name, job_id)
        return await downloads.track(request, song, file, wire.media_type(file.path))

    async def create_webhook(self, request: Request) -> Response:
        """Registers an endpoint."""
        body = await decode(request, wire.CreateWebhookRequest)
        events: list[str] = list(dict.fromkeys(body.events))
        webhook = await self._services.webhooks.add(account_of(request), body.url, events)
        return Json(wire.webhook_created(webhook), 201)

    async def list_webhooks(self, request: Request) -> Response:
        """The account's endpoints."""
        found = await self._services.webhooks.of(account_of(request))
        return Json(wire.WebhooksListResponse(webhooks=[wire.webhook_listed(w) for w in found]))

    async def delete_webhook(self, request: Request) -> Response:
        """Removes an endpoint, and what was still to be sent to it."""
        await self._services.webhooks.delete(account_of(request), request.path_params["id"])
        return Json(wire.DeletedResponse(deleted=True))

    async def openapi(self, _: Request) -> Response:
        """This server's own document."""
        return Response(self._document, media_type="application/json")

    def base_url(self, request: Request) -> str:
        """Scheme and host of signed URLs: as configured, else as the client called us."""
        configured = self._config.server.public_url.rstrip("/")
        return configured or f"{request.scope['scheme']}://{_host(request)}"

    def _minting(self, request: Request) -> wire.MintUrl:
        base = self.base_url(request)
        return lambda job_id, name, expires: base + self._signer.download_path(
            DownloadGrant(job_id, name, expires)
        )


def _check_metadata(metadata: dict[str, Any] | None) -> None:
    if metadata is not None and _depth(metadata) > MOST_DEPTH:
        raise InvalidRequest(f"metadata may be nested {MOST_DEPTH} deep at most")
    if metadata is not None and len(ENCODER.encode(metadata)) > MOST_METADATA:
        raise InvalidRequest(f"metadata may have {MOST_METADATA} bytes at most")


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, counted no further than is allowed."""
    level, depth = [value], 0
    while level and depth <= MOST_DEPTH:
        depth += 1
        level = [
            inner for outer in level if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]  # fmt: skip
    return depth


def _host(request: Request) -> str:
    """Where the client called us; nothing but a host and a port gets into a URL."""
    host = request.headers.get("host", "")
    if HOST(host):
        return host
    address, port = request.scope["server"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _file_name(raw: str) -> str:
    name = clean_name(raw)
    if not name:
        raise InvalidRequest("This is no file name")
    return name


def _render(new: Any) -> bytes:
    return ENCODER.encode(wire.created(new))


def _idempotency(request: Request, order: Order) -> Idempotency | None:
    key = idempotency_key(request)
    return None if key is None else Idempotency(key, meaning(order))
