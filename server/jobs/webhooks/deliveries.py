"""Deliveries as their account sees them: looking, sending one again, testing a webhook. Knows no
HTTP; what is due is sent by the `Sender`.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from server.errors import (
    AlreadyDelivered,
    DeliveryNotFound,
    TooManyAtOnce,
    WebhookNotFound,
)
from server.jobs.idempotency import ANSWER_HOURS, Idempotency, first_answer
from store import AnsweredBefore, DeliveryRepository, WebhookRepository
from store.deliveries import Attempt, DeliveredBefore, Once, Render, SentEvent, TooManyTests

__all__ = ["Attempt", "Deliveries", "SentEvent"]

log = structlog.get_logger()
MOST_TESTS: Final = 10  # events of one webhook that wait


class Deliveries:
    """The deliveries of one server. wake: tells the sender that there is something to send."""

    def __init__(
        self, deliveries: DeliveryRepository, webhooks: WebhookRepository,
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._wake = wake

    async def page(
        self, account_id: str, webhook_id: str | None, limit: int, offset: int
    ) -> tuple[list[SentEvent], int]:
        """A page of an account's deliveries, newest first, and how many there are.

        Raises WebhookNotFound: the one that was asked for is not this account's.
        """
        if webhook_id is not None:
            own = await self._webhooks.of(account_id)  # no secret is opened, which may be lost
            if webhook_id not in {webhook.id for webhook in own}:
                raise WebhookNotFound("Webhook not found.")
        return await self._deliveries.page(account_id, webhook_id, limit, offset)

    async def send_again(
        self, account_id: str, delivery_id: str, render: Render, once: Idempotency | None = None
    ) -> bytes:
        """Sends an event that has not arrived at once, under its old id; returns what `render`
        makes of it, or the first answer to `once.key`.

        Raises:
            DeliveryNotFound, AlreadyDelivered, IdempotencyConflict.
        """
        try:
            answer = await _once(once, lambda key: self._deliveries.send_again(
                account_id, delivery_id, time.time(), key, render))  # fmt: skip
        except DeliveredBefore:
            raise AlreadyDelivered("This event has been delivered.") from None
        if answer is None:
            raise DeliveryNotFound("Delivery not found.")
        log.info("webhook sent again", delivery=delivery_id, account=account_id)
        self._wake()
        return answer

    async def test(
        self, account_id: str, webhook_id: str, render: Render, once: Idempotency | None = None
    ) -> bytes:
        """Sends a test event to a webhook; returns as `send_again`.

        Raises:
            WebhookNotFound, IdempotencyConflict.
            TooManyAtOnce: many of them wait already.
        """
        try:
            answer = await _once(once, lambda key: self._deliveries.test(
                account_id, webhook_id, MOST_TESTS, time.time(), key, render))  # fmt: skip
        except TooManyTests:
            raise TooManyAtOnce(f"{MOST_TESTS} test events of this webhook still wait") from None
        if answer is None:
            raise WebhookNotFound("Webhook not found.")
        log.info("webhook tested", webhook=webhook_id, account=account_id)
        self._wake()
        return answer


async def _once(
    once: Idempotency | None, act: Callable[[Once | None], Awaitable[bytes | None]]
) -> bytes | None:
    """Acts, or gives the first answer to the Idempotency-Key. Raises IdempotencyConflict."""
    since = time.time() - ANSWER_HOURS * 3600
    try:
        return await act(None if once is None else Once(once.key, once.body_hash, since))
    except AnsweredBefore as before:
        assert once is not None
        return first_answer(before, once, "request")
