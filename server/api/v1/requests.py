"""What the StemSplit API's endpoints read from a request, each part checked as it is read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api import parameters
from server.api.files import uploads
from server.api.v1.complaints import complaint
from server.errors import InvalidRequest

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
MOST_BODY: Final = 256 << 10  # bytes of a JSON body
MOST_KEY: Final = 255  # characters of an Idempotency-Key
PAGE: Final = 20
MOST_PAGE: Final = 100
MOST_OFFSET: Final = 2**53 - 1


def route(path: str, handlers: Mapping[str, Handler]) -> Route:
    """One route for a path, with a handler for each method."""

    async def endpoint(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=list(handlers))


def account_of(request: Request) -> str:
    """Whose key it came with."""
    account: str = request.state.account
    return account


def page_of(request: Request) -> tuple[int, int]:
    """`limit` and `offset`. Raises InvalidRequest."""
    limit = _number(request, "limit", PAGE, range(1, MOST_PAGE + 1))
    return limit, _number(request, "offset", 0, range(MOST_OFFSET + 1))


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one. Raises InvalidRequest."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MOST_KEY:
        raise InvalidRequest(f"An Idempotency-Key has 1 to {MOST_KEY} characters")
    return key


async def decode(request: Request, kind: type[T]) -> T:
    """The JSON body as a Struct. Raises InvalidRequest."""
    raw = await uploads.small_body(request, MOST_BODY)
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(complaint(error, kind)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON") from None


def _number(request: Request, name: str, default: int, allowed: range) -> int:
    text = parameters.text(request, name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) not in allowed:
        raise InvalidRequest(f"{name} must be a whole number from {allowed.start} to {allowed[-1]}")
    return int(text)
