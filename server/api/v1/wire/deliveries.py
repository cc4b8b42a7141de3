"""Deliveries: what became of each event for each endpoint."""

from collections.abc import Sequence
from typing import Literal, cast

from server.api.ports import SentEvent
from server.api.v1.wire.common import Camel, Event, Pagination, Time, maybe, pagination, timestamp

State = Literal["WAITING", "DELIVERED", "GIVEN_UP"]


class DeliveryAttempt(Camel, frozen=True):
    """One attempt. `statusCode`: what the endpoint answered, null for nothing; `error` is null if
    it took the event."""

    number: int
    started_at: Time
    duration_ms: int
    status_code: int | None
    error: str | None


class DeliveryItem(Camel, frozen=True):
    """One event for one endpoint, with the last 20 attempts at it, in order.

    `id` is its `X-Webhook-Id`. `webhookId` is null where `url` is the job's own `callbackUrl`;
    `jobId` is null of a test. `nextAttemptAt` is null where there is none.
    """

    id: str
    webhook_id: str | None
    job_id: str | None
    url: str
    event: Event
    is_test: bool
    state: State
    attempts: list[DeliveryAttempt]
    last_error: str | None
    next_attempt_at: Time | None
    created_at: Time


class DeliveriesListResponse(Camel, frozen=True):
    """`GET /deliveries`."""

    deliveries: list[DeliveryItem]
    pagination: Pagination


def delivery(sent: SentEvent) -> DeliveryItem:
    """One delivery."""
    return DeliveryItem(
        id=sent.id, webhook_id=sent.webhook_id, job_id=sent.job_id, url=sent.url,
        event=cast(Event, sent.event), is_test=sent.job_id is None,
        state=cast(State, sent.state.upper()),
        attempts=[
            DeliveryAttempt(
                number=attempt.number, started_at=timestamp(attempt.began_at),
                duration_ms=round(attempt.seconds * 1000), status_code=attempt.status,
                error=attempt.error,
            )
            for attempt in sent.attempts
        ],
        last_error=sent.last_error,
        next_attempt_at=maybe(sent.next_at if sent.state == "waiting" else None),
        created_at=timestamp(sent.created_at),
    )  # fmt: skip


def deliveries(
    sent: Sequence[SentEvent], total: int, limit: int, offset: int
) -> DeliveriesListResponse:
    """A page of deliveries."""
    return DeliveriesListResponse(
        deliveries=[delivery(one) for one in sent],
        pagination=pagination(len(sent), total, limit, offset),
    )
