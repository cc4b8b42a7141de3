"""Who calls the pipeline API, in its two modes: anybody, or whoever has a key."""

import time
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.answers import with_headers
from server.api.auth import bearer_key
from server.api.edge.limits import RateLimit, standard_headers
from server.api.ports import Accounts, is_test
from server.errors import RateLimited, StemboxError

TOLD: Final = "key_limit"  # where a scope has the headers of it


class Caller(NamedTuple):
    """Whose request it is, and whether it is only a test."""

    account_id: str | None
    test: bool


class PipelineGuard:
    """Who is behind a pipeline request: nobody in particular where everybody may call.

    limit: counts the requests of keys that have a limit of their own, of both APIs together. What
    is left of it is told behind `telling`.
    """

    def __init__(self, auth: str, accounts: Accounts, limit: RateLimit) -> None:
        self._open = auth == "none"
        self._accounts = accounts
        self._limit = limit

    async def account(self, request: Request) -> str | None:
        """The account; None where everybody may call. Raises as `caller`."""
        return (await self.caller(request)).account_id

    async def knows(self, request: Request) -> bool:
        """Whether this is nobody's business or comes with a key; nothing is counted."""
        if self._open:
            return True
        try:
            await self._accounts.authenticate(_shown(request), "pipeline")
        except StemboxError:
            return False
        return True

    async def caller(self, request: Request) -> Caller:
        """Raises MissingKey, InvalidKey, RevokedKey, KeyNotAllowed, RateLimited."""
        if self._open:
            return Caller(None, False)
        key = await self._accounts.authenticate(_shown(request), "pipeline")
        if key.requests_per_minute is not None:
            verdict = self._limit.count(key.hash, time.monotonic(), key.requests_per_minute)
            request.scope[TOLD].extend(standard_headers("key", verdict))
            if not verdict.allowed:
                raise RateLimited(verdict.wait)
        return Caller(key.account_id, is_test(key.prefix))


def _shown(request: Request) -> str | None:
    return request.headers.get("x-api-key") or bearer_key(request.scope)


def telling(app: ASGIApp) -> ASGIApp:
    """`app`, whose answers have what `PipelineGuard` tells of a key's limit."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TOLD] = []  # headers
        await app(scope, receive, with_headers(send, scope[TOLD]))

    return answering
