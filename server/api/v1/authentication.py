"""In front of every StemSplit route, known or not: who calls, and whether it may call now.

Signed URLs and the document speak for themselves and pass without a key.
"""

import math
import time
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.answers import Json, with_headers
from server.api.auth import bearer_key
from server.api.edge.limits import RateLimit, Verdict, standard_headers
from server.api.ports import Accounts, is_test
from server.api.v1.errors import Handlers, error_body
from server.errors import RateLimited, StemboxError

OPEN: Final = ("/uploads/", "/downloads/", "/openapi")


class Authentication:
    """Asks for the key, counts the request, and adds the limit's headers to its answer.

    The account's id is `request.state.account` behind it; `request.state.test`: a test key.
    """

    def __init__(
        self, app: ASGIApp, accounts: Accounts, limit: RateLimit, handlers: Handlers
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._limit = limit
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(OPEN):
            await self._app(scope, receive, send)
            return
        try:
            key = await self._accounts.authenticate(bearer_key(scope), "stemsplit")
        except StemboxError as error:
            await self._handlers.answer(error)(scope, receive, send)
            return
        except OSError as error:  # the database: outside the app that has its own handlers
            answer = await self._handlers.on_os_error(Request(scope), error)
            await answer(scope, receive, send)
            return
        verdict = self._limit.count(key.hash, time.monotonic(), key.requests_per_minute)
        send = with_headers(send, _limit_headers(verdict), [(b"retry-after", b"%d" % verdict.wait)])
        if not verdict.allowed:
            sentence = RateLimited(verdict.wait).message
            await Json(error_body("RATE_LIMIT_EXCEEDED", sentence), 429)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["account"], state["test"] = key.account_id, is_test(key.prefix)
        await self._app(scope, receive, send)


def _limit_headers(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    ends = math.ceil(round(time.time() + verdict.reset - time.monotonic(), 3))
    return [
        (b"x-ratelimit-limit", b"%d" % verdict.limit),
        (b"x-ratelimit-remaining", b"%d" % verdict.remaining),
        (b"x-ratelimit-reset", b"%d" % ends),
        *standard_headers("key", verdict),
    ]
