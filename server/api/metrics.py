"""`GET /metrics`: the figures for Prometheus, for those who may see them; and what counts requests.

It has an access rule of its own: figures of all accounts are the operator's, as are keys with the
scope `admin`, which neither API asks for.
"""

import hmac
import re
import socket
from functools import cache
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from server.api.answers import Json
from server.api.auth import bearer_key
from server.api.bodies import ErrorAnswer
from server.api.edge.proxies import is_within, read_address
from server.api.ports import Accounts
from server.config import Metrics as Settings
from server.errors import StemboxError
from server.net.addresses import parse_networks

PATH: Final = "/metrics"
NO_ROUTE: Final = "/*"
REFUSAL: Final = (
    "The metrics ask for their token, or a key with the scope admin: Authorization: Bearer")
LOOPBACK: Final = parse_networks(["127.0.0.0/8", "::1/128"], "loopback")
HOSTS: Final = Path("/etc/hosts")
PORT: Final = re.compile(r":[0-9]*$")
# Who sends one of these speaks for somebody else, or is a page in somebody's browser: the address
# of the connection then tells nothing of who asks.
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via", "origin")


class Figures(Protocol):
    """What counts, and tells what it has counted: `server.metrics.Metrics`."""

    def answered(
        self, route: str, method: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Counts one request; bytes of its body, and of its answer's."""

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """All figures, and their media type."""


def route_of(scope: Scope) -> str:
    """The route that a request has found, as it was declared: these are few, unlike paths."""
    found: str | None = scope.get("found_route")
    if found is None:
        route = scope.get("route")
        return NO_ROUTE if route is None else str(route.path)
    return found


@cache
def _own_names() -> frozenset[str]:
    """What this machine calls itself: its host's name, and what its own table of hosts says."""
    try:
        table = HOSTS.read_text(errors="replace")
    except OSError:
        table = ""
    lines = (line.partition("#")[0].split()[1:] for line in table.splitlines())
    return frozenset(name.lower() for name in chain([socket.gethostname()], *lines))


def _is_strangers_name(host: str) -> bool:
    """Whether a request to this machine is sent by a name that anybody could have made: a page
    whose name has come to mean this machine (DNS rebinding) sends no `Origin` here."""
    name = PORT.sub("", host).strip("[]").rstrip(".").lower()
    if "." not in name or name.endswith(".localhost") or name in _own_names():
        return False
    try:
        ip_address(name)
    except ValueError:
        return True
    return False


class MetricsRoute:
    """The endpoint, bound to its settings."""

    def __init__(self, settings: Settings, accounts: Accounts, figures: Figures) -> None:
        self._token = settings.token.encode()
        self._networks = parse_networks(settings.allow_networks, "metrics.allow_networks")
        self._accounts = accounts
        self._figures = figures

    def route(self) -> Route:
        """The route."""
        return Route(PATH, self.answer)

    async def answer(self, request: Request) -> Response:
        """The figures in the format that `Accept` prefers; 401 for who may not see them."""
        if not await self._may(request):
            return Json(ErrorAnswer(REFUSAL), 401, {"WWW-Authenticate": "Bearer"})
        body, media_type = await self._figures.scrape(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    async def is_open(self, scope: Scope) -> bool:
        """Whether this asks for the figures, and may see them."""
        if scope["path"] != PATH:
            return False
        try:
            return await self._may(Request(scope))
        except OSError:  # the database, of which the answer tells
            return False

    async def _may(self, request: Request) -> bool:
        shown = bearer_key(request.scope)
        if shown is not None and await self._is_operators(shown):
            return True
        if any(name in request.headers for name in FORWARDED):
            return False
        if request.client is None:
            return False
        address = read_address(request.client.host)
        if is_within(address, LOOPBACK) and _is_strangers_name(request.headers.get("host", "")):
            return False
        return is_within(address, self._networks)

    async def _is_operators(self, shown: str) -> bool:
        if self._token and hmac.compare_digest(shown.encode(), self._token):
            return True
        try:
            await self._accounts.authenticate(shown, "admin")
        except StemboxError:
            return False
        return True
