"""What every request passes: its id, the version header, CORS, one access line, the last net.

Pure ASGI, because a request costs less than a middleware with tasks of its own would.
"""

import re
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import DownloadCut, Json, with_headers
from server.api.bodies import API_VERSION, ErrorAnswer
from server.api.edge.limits import RateLimit, standard_headers
from server.api.files.uploads import Lingering
from server.api.health import HEALTH
from server.api.listening.windows import WINDOW_HEADERS
from server.api.metrics import Figures, MetricsRoute, route_of
from server.api.sharing import caller_of
from server.api.signing import BASE
from server.api.v1.errors import SORRY, error_body
from server.errors import RateLimited
from server.logs import AccessLog

REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
EXPOSED: Final = (*WINDOW_HEADERS, "Content-Disposition", "Content-Range", "ETag",
                  "RateLimit", "RateLimit-Policy", "Retry-After", "X-API-Version",
                  "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
                  "X-Request-Id")
VERSION: Final = API_VERSION.encode()
# Added to every answer that does not set them: browsers must not guess the type, and links must
# not pass on our URL, whose query may hold a signature.
GUARDS: Final = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
# For answers opened by a key or a signature: no cache on the way may keep them.
NO_STORE: Final = (b"cache-control", b"no-store")
LONGEST_PATH: Final = 200  # characters of it in the access log
CLIENT_GONE: Final = 499  # in the access log only: nobody was left to answer


def with_middlewares(
    app: ASGIApp, cors_origins: Sequence[str], figures: Figures | None = None
) -> ASGIApp:
    """The app behind `Lingering`, CORS and `Requests`, which has `figures` count."""
    return Requests(
        CORSMiddleware(
            Lingering(app),
            allow_origins=cors_origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
        ),
        figures,
    )


class AddressLimit:
    """The pipeline API's limit: so many requests a minute from one address. Whoever may see the
    figures of `metrics` asks for them as often as they like."""

    def __init__(self, app: ASGIApp, limit: int, metrics: MetricsRoute | None = None) -> None:
        self._app = app
        self._limit = RateLimit(limit)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not (self._metrics and await self._metrics.is_open(scope)):
            verdict = self._limit.count(caller_of(scope), time.monotonic())
            send = with_headers(send, standard_headers("address", verdict))
            if not verdict.allowed:
                sentence = RateLimited(verdict.wait).message
                headers = {"Retry-After": str(verdict.wait)}
                await Json(ErrorAnswer(sentence), 429, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Requests:
    """Gives each request an id, each answer its headers, and the log one line.

    It must be outermost: what escapes the app ends here, as a 500 and a traceback in the log.
    """

    def __init__(self, app: ASGIApp, figures: Figures | None = None) -> None:
        self._app = app
        self._figures = figures
        self._log = structlog.get_logger("server.access")
        self._write = AccessLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(receive, send, _request_id(scope), _is_opened_by_key(scope))
        # Never unbound: each request runs in its own task, whose context ends with it.
        structlog.contextvars.bind_contextvars(request_id=answer.request_id)
        try:
            await self._app(scope, answer.receive, answer.send)
        except DownloadCut as error:
            self._log.warning("download cut short", reason=str(error))
        except Exception:
            # An answer that had begun stays incomplete: the server then closes the connection.
            self._log.exception("request crashed")
            if not answer.status:
                await Json(_sorry(scope), 500)(scope, answer.receive, answer.send)
        finally:
            level = "debug" if scope["path"] in HEALTH else "info"
            # Without the query, which may sign; decoded, a path may hold line breaks.
            path = quote(scope["path"][:LONGEST_PATH])
            client = (scope.get("client") or ("",))[0]
            if self._figures is not None:
                self._figures.answered(
                    route_of(scope), scope["method"], answer.status or CLIENT_GONE,
                    answer.seconds, answer.received, answer.bytes,
                )  # fmt: skip
            self._write(level, "request", method=scope["method"], path=path, client=client,
                        **answer.figures())  # fmt: skip


class _Answer:
    """One answer on its way out: adds the headers, counts the bytes, those of the request too."""

    def __init__(
        self, receive: Receive, send: Send, request_id: str, opened_by_key: bool
    ) -> None:
        self._receive = receive
        self._send = send
        self._opened_by_key = opened_by_key
        self._began = time.perf_counter()
        self.request_id = request_id
        self.status = 0
        self.bytes = 0
        self.received = 0
        self.sentence: str | None = None

    @property
    def seconds(self) -> float:
        """Since the request's head was here."""
        return time.perf_counter() - self._began

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        else:
            body = message.get("body", b"")
            self.bytes += len(body)
            if self.status >= 400 and body:
                self.sentence = body[:LONGEST_PATH].decode(errors="replace")
        await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [pair for pair in given if not (self._opened_by_key and pair[0] == NO_STORE[0])]
        names = {name for name, _ in headers}
        headers += [guard for guard in GUARDS if guard[0] not in names]
        if self._opened_by_key:
            headers.append(NO_STORE)
        own = ((b"x-request-id", self.request_id.encode()), (b"x-api-version", VERSION))
        return [*headers, *own]

    def figures(self) -> dict[str, Any]:
        """What the access line tells of this answer; of an error, its body as well."""
        told = {} if self.sentence is None else {"answer": self.sentence}
        return told | {
            "status": self.status or CLIENT_GONE,
            "ms": round(self.seconds * 1000, 1),
            "bytes": self.bytes,
        }


def _is_opened_by_key(scope: Scope) -> bool:
    """Whether a key is shown, or the StemSplit API asked, where all but the document needs one."""
    if any(name in (b"authorization", b"x-api-key") for name, _ in scope["headers"]):
        return True
    path: str = scope["path"]
    return path.startswith(f"{BASE}/") and path != f"{BASE}/openapi"


def _request_id(scope: Scope) -> str:
    """The caller's id where it is a sane one, else a new one."""
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    if REQUEST_ID.fullmatch(given):
        return given.decode()
    return secrets.token_hex(16)


def _sorry(scope: Scope) -> object:
    """What a defect is answered with, in the form of the API that was asked."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path.startswith(f"{BASE}/"):
        return error_body("INTERNAL_ERROR", SORRY)
    return ErrorAnswer("Internal server error")
