"""Which status and body each error of the tree gets in the pipeline API."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server.api.answers import (
    FileChanged,
    Json,
    RangeNotSatisfiable,
    UploadStalled,
    headers_of,
    of_storage,
    on_disconnect,
)
from server.api.bodies import ErrorAnswer
from server.errors import (
    AudioError,
    DiskFull,
    FileTooLarge,
    InvalidKey,
    InvalidRequest,
    JobNotCompleted,
    JobNotFound,
    KeyNotAllowed,
    MissingKey,
    RateLimited,
    RevokedKey,
    ServerBusy,
    StageFailed,
    StemboxError,
    TrackNotFound,
    UploadRejected,
)

log = structlog.get_logger(__name__)

STATUSES: Final[Mapping[type, int]] = MappingProxyType(
    {
        UploadRejected: 400,
        InvalidRequest: 400,
        AudioError: 400,
        MissingKey: 401,
        InvalidKey: 401,
        RevokedKey: 403,
        KeyNotAllowed: 403,
        JobNotFound: 404,
        TrackNotFound: 404,
        UploadStalled: 408,
        JobNotCompleted: 409,
        FileChanged: 412,
        FileTooLarge: 413,
        RangeNotSatisfiable: 416,
        RateLimited: 429,
        ServerBusy: 503,
        DiskFull: 507,
        StemboxError: 500,
    }
)


# Sentences that the contract fixes, or that keep the inside to ourselves.
SENTENCES: Final[Mapping[type[StemboxError], str]] = MappingProxyType(
    {JobNotFound: "Job not found", StageFailed: "Internal server error"}
)


async def on_stembox_error(_: Request, error: Exception) -> Response:
    """The status of the nearest class in the table; the error's own sentence as the detail."""
    assert isinstance(error, StemboxError)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    detail = SENTENCES.get(type(error), error.message)
    if status == 500:
        log.error("request failed", exc_info=error)
        return Json(ErrorAnswer(detail), status)
    return Json(ErrorAnswer(detail), status, headers_of(error))


async def on_os_error(request: Request, error: Exception) -> Response:
    """A full or failing disk, whoever has found it; what else the system says is a defect."""
    assert isinstance(error, OSError)
    said = of_storage(error)
    if said is None:
        raise error
    return await on_stembox_error(request, said)


async def on_http_error(_: Request, error: Exception) -> Response:
    """What the router answers by itself: `Not found`, and `Method not allowed` with `Allow`."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    detail = HTTPStatus(error.status_code).phrase.capitalize()
    return Json(ErrorAnswer(detail), error.status_code, headers)


async def on_defect(_: Request, __: Exception) -> Response:
    """A defect: no detail of the inside. The traceback is logged where the request ends."""
    return Json(ErrorAnswer("Internal server error"), 500)


HANDLERS: Final[Mapping[Any, Any]] = MappingProxyType(
    {
        StemboxError: on_stembox_error,
        OSError: on_os_error,
        HTTPException: on_http_error,
        ClientDisconnect: on_disconnect,
        Exception: on_defect,
    }
)
