"""`/health`, `/health/live` and `/health/ready`: asked for all the time by whoever sends work here
or restarts what is stuck, so they are answered before anything looks for a route.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.answers import Json
from server.api.bodies import API_VERSION
from server.api.pipeline import wire
from server.api.ports import Services

HEALTH: Final = ("/health", "/health/live", "/health/ready")
ASKING: Final = ("GET", "HEAD")


class HealthAnswers:
    """What the three answer."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # Made once: while all is well each answer is like the last.
        self._healthy, self._ready = _health([]), _ready([])
        self._live, self._stuck = Json(wire.LiveAnswer("live")), Json(wire.LiveAnswer("stuck"), 503)
        said = (self.health, self.live, self.ready)
        self._answers: Mapping[str, Callable[[], Response]] = MappingProxyType(
            dict(zip(HEALTH, said, strict=True))
        )

    def health(self) -> Response:
        """200 while new work is taken, 503 otherwise with what is in the way beside the keys."""
        problems = self._services.health.problems()
        return _health(problems) if problems else self._healthy

    def live(self) -> Response:
        """200 unless only another process can help."""
        return self._live if self._services.health.alive else self._stuck

    def ready(self) -> Response:
        """200 while new work is taken: for those who choose a server to send it to."""
        problems = self._services.health.problems()
        return _ready(problems) if problems else self._ready

    def routes(self) -> list[Route]:
        """The same answers as ordinary routes, for methods that `before` lets through."""
        return [Route(path, partial(_answered, answer)) for path, answer in self._answers.items()]

    def before(self, app: ASGIApp) -> ASGIApp:
        """These answers, and `app` for all other requests."""

        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            found = self._answers.get(scope["path"]) if scope["type"] == "http" else None
            if found is None or scope["method"] not in ASKING:
                await app(scope, receive, send)
                return
            scope["found_route"] = scope["path"]
            await found()(scope, receive, send)

        return answering


async def _answered(answer: Callable[[], Response], _: Request) -> Response:
    return answer()


def _health(problems: list[str]) -> Response:
    status = "degraded" if problems else "healthy"
    answer = wire.HealthAnswer(status, API_VERSION, len(wire.PROCESSORS), problems)
    return Json(answer, 503 if problems else 200)


def _ready(problems: list[str]) -> Response:
    answer = wire.ReadyAnswer("unready" if problems else "ready", problems)
    return Json(answer, 503 if problems else 200)
