"""JSON answers, errors that only HTTP knows, and what both APIs say of an error beside its body."""

import errno
from collections.abc import Sequence
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from server.api.bodies import ENCODER
from server.errors import (
    DiskFull,
    InvalidKey,
    MissingKey,
    ModelError,
    RateLimited,
    ServerBusy,
    StemboxError,
    TooManyAtOnce,
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


async def on_disconnect(_: Request, __: Exception) -> None:
    """Nobody is left to answer; the access log has the line."""


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
    if isinstance(error, ServerBusy | RateLimited | TooManyAtOnce):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, DiskFull | ModelError):
        return {"Retry-After": str(DISK_RETRY)}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    if isinstance(error, MissingKey | InvalidKey):
        return {"WWW-Authenticate": "Bearer"}
    return None
