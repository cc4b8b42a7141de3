"""The webhooks that accounts have registered."""

import time
import uuid
from typing import Protocol

import structlog

from server.errors import AddressForbidden, InvalidRequest, WebhookNotFound
from server.jobs.webhooks.signatures import new_secret
from store import WebhookRepository
from store.webhooks import Webhook

__all__ = ["Webhook", "Webhooks"]

log = structlog.get_logger()
MOST_WEBHOOKS = 20  # of one account


class Client(Protocol):
    """The guarded HTTP client, as far as it is needed here."""

    def check_url(self, url: str) -> None: ...


class Webhooks:
    """The registered webhooks of one server."""

    def __init__(self, webhooks: WebhookRepository, client: Client) -> None:
        self._webhooks = webhooks
        self._client = client

    async def add(self, account_id: str, url: str, events: list[str]) -> Webhook:
        """Registers an endpoint; its secret is shown this once.

        Raises:
            InvalidRequest: the URL is none that the server may call, or the account has too many.
        """
        self.check_url(url)
        webhook = Webhook(uuid.uuid4().hex, account_id, url, events, new_secret(), time.time())
        if not await self._webhooks.add(webhook, MOST_WEBHOOKS):
            raise InvalidRequest(f"An account may have {MOST_WEBHOOKS} webhooks at most")
        log.info("webhook added", webhook=webhook.id, account=account_id)
        return webhook

    def check_url(self, url: str) -> None:
        """Raises InvalidRequest: the server must not call this URL."""
        try:
            self._client.check_url(url)
        except AddressForbidden as error:
            raise InvalidRequest(error.message) from None

    async def of(self, account_id: str) -> list[Webhook]:
        """An account's webhooks, the oldest first."""
        return await self._webhooks.of(account_id)

    async def delete(self, account_id: str, webhook_id: str) -> None:
        """Raises WebhookNotFound."""
        if not await self._webhooks.delete(account_id, webhook_id):
            raise WebhookNotFound("Webhook not found.")
        log.info("webhook deleted", webhook=webhook_id)
