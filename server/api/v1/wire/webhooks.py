"""Webhooks: as they are registered and listed, and what they are told."""

from typing import Any, cast

from server.api.ports import SplitJob, Webhook
from server.api.v1.wire.common import Camel, Event, Status, Time, maybe, timestamp
from server.api.v1.wire.jobs import (
    AudioMetadata,
    Input,
    JobOptions,
    MintUrl,
    Output,
    audio_metadata,
    input_of,
    options_of,
    outputs_of,
    status_of,
)


class WebhookCreatedResponse(Camel, frozen=True):
    """The answer to `POST /webhooks`: the only one that shows the secret."""

    id: str
    url: str
    events: list[Event]
    secret: str
    is_active: bool
    created_at: Time


class WebhookListItem(Camel, frozen=True):
    """One webhook of `GET /webhooks`. `failCount`: failures in a row."""

    id: str
    url: str
    events: list[Event]
    is_active: bool
    fail_count: int
    last_error: str | None
    last_called_at: Time | None
    created_at: Time


class WebhooksListResponse(Camel, frozen=True):
    """`GET /webhooks`."""

    webhooks: list[WebhookListItem]


class WebhookData(Camel, frozen=True):
    """The job in a webhook."""

    job_id: str
    status: Status
    input: Input
    options: JobOptions
    outputs: dict[str, Output] | None
    credits_charged: int
    error_message: str | None
    created_at: Time
    completed_at: Time | None
    audio_metadata: AudioMetadata | None
    metadata: dict[str, Any] | None


class WebhookPayload(Camel, frozen=True):
    """The body of a webhook."""

    event: Event
    timestamp: Time
    data: WebhookData


def webhook_created(webhook: Webhook) -> WebhookCreatedResponse:
    """A new webhook, with its secret."""
    return WebhookCreatedResponse(
        id=webhook.id, url=webhook.url, events=_events(webhook), secret=webhook.secret,
        is_active=webhook.is_active, created_at=timestamp(webhook.created_at),
    )  # fmt: skip


def webhook_listed(webhook: Webhook) -> WebhookListItem:
    """A webhook, without its secret."""
    return WebhookListItem(
        id=webhook.id, url=webhook.url, events=_events(webhook), is_active=webhook.is_active,
        fail_count=webhook.fail_count, last_error=webhook.last_error,
        last_called_at=maybe(webhook.last_called_at), created_at=timestamp(webhook.created_at),
    )  # fmt: skip


def payload(
    job: SplitJob, event: str, created_at: float, mint: MintUrl, now: float
) -> WebhookPayload:
    """What a webhook is told of a job's end. `created_at`: when the event came up."""
    row = job.job
    return WebhookPayload(
        event=cast(Event, event),
        timestamp=timestamp(created_at),
        data=WebhookData(
            # what happened, even if the files have been removed meanwhile
            job_id=row.id, status="COMPLETED" if event == "job.completed" else status_of(job),
            input=input_of(job.request),
            options=options_of(job.request), outputs=outputs_of(job, mint, now),
            credits_charged=row.charged, error_message=row.error,
            created_at=timestamp(row.created_at), completed_at=maybe(row.completed_at),
            audio_metadata=audio_metadata(job), metadata=job.request.metadata,
        ),
    )  # fmt: skip


def test_payload(name: str, event: str, created_at: float) -> WebhookPayload:
    """What a webhook is told when it is tested: of a job `name` that never was, as of any other."""
    failed = event == "job.failed"
    return WebhookPayload(
        event=cast(Event, event), timestamp=timestamp(created_at),
        data=WebhookData(
            job_id=name, status="FAILED" if failed else "COMPLETED",
            input=Input(file_name="test.wav", duration_seconds=0, file_size_bytes=0),
            options=JobOptions(output_type="BOTH", quality="BEST", output_format="MP3", model=""),
            outputs=None if failed else {}, credits_charged=0,
            error_message="This is a test" if failed else None,
            created_at=timestamp(created_at), completed_at=timestamp(created_at),
            audio_metadata=None, metadata={"test": True},
        ),
    )  # fmt: skip


def _events(webhook: Webhook) -> list[Event]:
    return cast(list[Event], webhook.events)
