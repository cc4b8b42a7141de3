"""JSON answers, and the table of errors: which status and body each error of the tree gets."""

import errno
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Send

from server.api.bodies import ENCODER, ErrorAnswer
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
    ModelError,
    RateLimited,
    RevokedKey,
    ServerBusy,
    StageFailed,
    StemboxError,
    TooManyUploads,
    TrackNotFound,
    UploadRejected,
)

log = structlog.get_logger(__name__)


class UploadStalled(StemboxError):
    """The client stopped sending, or sends too slowly to be honest."""


class DownloadCut(Exception):
    """The file of a running download was removed: the body ends short, and nothing can be said."""


class FileChanged(StemboxError):
    """The file is not the one that a condition of the request names."""


class RangeNotSatisfiable(StemboxError):
    """A byte range that begins behind the end of a file of `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__("Range not satisfiable")
        self.size = size


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


STORAGE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EBUSY})
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_RETRY: Final = 300  # seconds, told where a person has to do something first


def of_storage(error: OSError) -> StemboxError | None:
    """What is to be said of an error of the disk, or of the database on it; None: a defect."""
    if error.errno not in STORAGE:
        return None
    log.error("the storage fails", reason=str(error))
    if error.errno in NO_ROOM:
        return DiskFull("The server's disk is full; try again later")
    return ServerBusy("The server's storage does not answer; try again later", DISK_RETRY)


class Json(Response):
    """An answer whose content is a Struct or plain data, encoded by the one shared encoder."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The JSON bytes."""
        return ENCODER.encode(content)


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


async def on_disconnect(_: Request, __: Exception) -> None:
    """Nobody is left to answer; the access log has the line."""


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


def with_headers(
    send: Send,
    headers: Sequence[tuple[bytes, bytes]],
    fallback: Sequence[tuple[bytes, bytes]] = (),
) -> Send:
    """`send`, but the answer has these headers as well, as they are when it begins; of `fallback`
    those that it does not have itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", ())
            names = {name for name, _ in own}
            lacking = (pair for pair in fallback if pair[0] not in names)
            message = {**message, "headers": [*own, *headers, *lacking]}
        await send(message)

    return sending


def headers_of(error: StemboxError) -> dict[str, str] | None:
    """The headers that an error's answer has in either API, unless it is a 500."""
    if isinstance(error, ServerBusy | RateLimited | TooManyUploads):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, DiskFull | ModelError):
        return {"Retry-After": str(DISK_RETRY)}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    if isinstance(error, MissingKey | InvalidKey):
        return {"WWW-Authenticate": "Bearer"}
    return None
