"""The StemSplit API's errors: which status and code each error of the tree gets."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server import errors as tree
from server.api.answers import (
    FileChanged,
    Json,
    RangeNotSatisfiable,
    UploadStalled,
    headers_of,
    of_storage,
    on_disconnect,
)
from server.api.signing import BadSignature, UrlExpired
from server.api.v1.wire import ErrorDetail, ErrorResponse

log = structlog.get_logger(__name__)

CODES: Final[Mapping[type[Exception], tuple[int, str]]] = MappingProxyType(
    {
        tree.InvalidRequest: (400, "INVALID_REQUEST"),
        tree.FileTooLarge: (400, "FILE_TOO_LARGE"),
        tree.AudioTooLong: (400, "AUDIO_TOO_LONG"),
        tree.AudioTooShort: (400, "AUDIO_TOO_SHORT"),
        tree.AudioError: (400, "UNSUPPORTED_FORMAT"),
        tree.UploadNotFound: (400, "UPLOAD_NOT_FOUND"),
        tree.Unreachable: (400, "SOURCE_URL_UNREACHABLE"),
        tree.AddressForbidden: (400, "SOURCE_URL_FORBIDDEN"),
        tree.MissingKey: (401, "MISSING_API_KEY"),
        tree.InvalidKey: (401, "INVALID_API_KEY"),
        tree.NotEnoughCredits: (402, "INSUFFICIENT_CREDITS"),
        tree.RevokedKey: (403, "API_KEY_REVOKED"),
        tree.KeyNotAllowed: (403, "INSUFFICIENT_SCOPE"),
        BadSignature: (403, "INVALID_SIGNATURE"),
        UrlExpired: (403, "URL_EXPIRED"),
        tree.JobNotFound: (404, "JOB_NOT_FOUND"),
        tree.WebhookNotFound: (404, "WEBHOOK_NOT_FOUND"),
        tree.DeliveryNotFound: (404, "DELIVERY_NOT_FOUND"),
        tree.TrackNotFound: (404, "NOT_FOUND"),
        tree.JobNotCompleted: (409, "JOB_NOT_COMPLETED"),
        UploadStalled: (408, "REQUEST_TIMEOUT"),
        tree.IdempotencyConflict: (409, "IDEMPOTENCY_CONFLICT"),
        tree.AlreadyDelivered: (409, "ALREADY_DELIVERED"),
        tree.UploadTaken: (409, "UPLOAD_ALREADY_USED"),
        FileChanged: (412, "PRECONDITION_FAILED"),
        RangeNotSatisfiable: (416, "RANGE_NOT_SATISFIABLE"),
        tree.TooManyAtOnce: (429, "RATE_LIMIT_EXCEEDED"),
        tree.ServerBusy: (503, "SERVER_BUSY"),
        tree.DiskFull: (503, "SERVER_BUSY"),
        tree.ModelError: (503, "SERVER_BUSY"),
        tree.StemboxError: (500, "INTERNAL_ERROR"),
    }
)
SORRY: Final = "Something went wrong on our side."
ROUTER: Final = MappingProxyType({404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"})


def error_body(code: str, message: str, **more: Any) -> ErrorResponse:
    """The body of an error."""
    return ErrorResponse(error=ErrorDetail(code=code, message=message, **more))


class Handlers:
    """Answers errors. `purchase_url` is told to accounts that have too few credits."""

    def __init__(self, purchase_url: str) -> None:
        self._purchase_url = purchase_url

    def table(self) -> dict[Any, Any]:
        """For Starlette."""
        return {
            tree.StemboxError: self.on_stembox_error,
            OSError: self.on_os_error,
            HTTPException: on_http_error,
            ClientDisconnect: on_disconnect,
            Exception: on_defect,
        }

    async def on_stembox_error(self, _: Request, error: Exception) -> Response:
        """The status and code of the nearest class in the table."""
        return self.answer(error)

    async def on_os_error(self, _: Request, error: Exception) -> Response:
        """A full or failing disk, whoever has found it; what else the system says is a defect."""
        assert isinstance(error, OSError)
        said = of_storage(error)
        if said is None:
            raise error
        return self.answer(said)

    def answer(self, error: Exception) -> Response:
        """The answer that tells of an error of the tree."""
        assert isinstance(error, tree.StemboxError)
        status, code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
        if status == 500:
            log.error("request failed", exc_info=error)
            return Json(error_body(code, SORRY), status)
        more: dict[str, Any] = {}
        if isinstance(error, tree.NotEnoughCredits):
            more = {"required_seconds": error.required, "purchase_url": self._purchase_url}
        return Json(error_body(code, error.message, **more), status, headers_of(error))


async def on_http_error(_: Request, error: Exception) -> Response:
    """What the router answers by itself: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = ROUTER.get(status, "INVALID_REQUEST")
    return Json(error_body(code, f"{status.phrase}."), status, dict(error.headers or {}))


async def on_defect(_: Request, __: Exception) -> Response:
    """A defect: no detail of the inside. The traceback is logged where the request ends."""
    return Json(error_body("INTERNAL_ERROR", SORRY), 500)
