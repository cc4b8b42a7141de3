"""The StemSplit API's endpoints for what an account looks after: credits and deliveries."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api import parameters
from server.api.answers import Json
from server.api.bodies import ENCODER
from server.api.ports import Idempotency, SentEvent, Services, meaning_of
from server.api.v1 import wire
from server.api.v1.requests import account_of, idempotency_key, page_of, route


class AccountRoutes:
    """The endpoints, bound to the jobs room."""

    def __init__(self, services: Services) -> None:
        self._accounts = services.accounts
        self._deliveries = services.deliveries

    def routes(self) -> list[Route]:
        """The routes, one for a path."""
        return [
            route("/balance", {"GET": self.balance}),
            route("/ledger", {"GET": self.ledger}),
            route("/deliveries", {"GET": self.list_deliveries}),
            route("/deliveries/{id}/resend", {"POST": self.resend}),
            route("/webhooks/{id}/test", {"POST": self.test}),
        ]

    async def balance(self, request: Request) -> Response:
        """What the account may still spend."""
        return Json(wire.balance(*await self._accounts.balance(account_of(request))))

    async def ledger(self, request: Request) -> Response:
        """A page of what was granted, held, captured and released."""
        limit, offset = page_of(request)
        entries, total = await self._accounts.ledger(account_of(request), limit, offset)
        return Json(wire.ledger(entries, total, limit, offset))

    async def list_deliveries(self, request: Request) -> Response:
        """A page of what was sent to the account's endpoints, and of what waits."""
        limit, offset = page_of(request)
        webhook = parameters.text(request, "webhookId")
        sent, total = await self._deliveries.page(account_of(request), webhook, limit, offset)
        return Json(wire.deliveries(sent, total, limit, offset))

    async def resend(self, request: Request) -> Response:
        """Sends an event that has not arrived once more, now."""
        delivery = request.path_params["id"]
        once = _idempotency(request, "resend", delivery)
        answer = await self._deliveries.send_again(account_of(request), delivery, _render, once)
        return Response(answer, 202, media_type="application/json")

    async def test(self, request: Request) -> Response:
        """Sends a test event to a webhook."""
        webhook = request.path_params["id"]
        once = _idempotency(request, "test", webhook)
        answer = await self._deliveries.test(account_of(request), webhook, _render, once)
        return Response(answer, 202, media_type="application/json")


def _render(sent: SentEvent) -> bytes:
    return ENCODER.encode(wire.delivery(sent))


def _idempotency(request: Request, *what: str) -> Idempotency | None:
    key = idempotency_key(request)
    return None if key is None else Idempotency(key, meaning_of(*what))
