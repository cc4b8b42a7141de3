"""The StemSplit API on the wire: its bodies as Structs, in its own spellings.

Knows the jobs room's data and no HTTP. Times are ISO 8601 in UTC, durations whole seconds.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct

from server.api.ports import Created, Request, SplitJob, Webhook

STATUSES: Final = ("PENDING", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED")
Status = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED"]
OutputType = Literal["VOCALS", "INSTRUMENTAL", "BOTH", "FOUR_STEMS", "SIX_STEMS"]
Quality = Literal["FAST", "BALANCED", "BEST"]
OutputFormat = Literal["WAV", "MP3", "FLAC"]
Event = Literal["job.completed", "job.failed"]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Url = Annotated[str, Meta(min_length=10, max_length=2048, pattern="^[hH][tT][tT][pP][sS]?://")]
DOWNLOAD_SECONDS: Final = 3600
MEDIA_TYPES: Final = MappingProxyType(
    {".mp3": "audio/mpeg", ".flac": "audio/flac", ".wav": "audio/wav"}
)
MintUrl = Callable[[str, str, int], str]
"""Makes the signed URL of a job's file that is valid until a unix time."""


class Camel(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every body: field names in camel case."""


class CreateJobRequest(Camel, frozen=True):
    """`POST /jobs`. Exactly one of `uploadKey` and `sourceUrl`."""

    upload_key: Text | None = None
    source_url: Text | None = None
    file_name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    output_type: OutputType = "BOTH"
    quality: Quality = "BEST"
    output_format: OutputFormat = "MP3"
    metadata: dict[str, Any] | None = None
    callback_url: Url | None = None


class UploadRequest(Camel, frozen=True):
    """`POST /upload`."""

    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    content_type: (
        Annotated[str, Meta(max_length=255, pattern=r"^[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*$")]
        | None
    ) = None


class CreateWebhookRequest(Camel, frozen=True):
    """`POST /webhooks`."""

    url: Url
    events: Annotated[list[Event], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: ["job.completed", "job.failed"]
    )


class ErrorDetail(Camel, frozen=True, omit_defaults=True):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    required_seconds: int | None = None
    purchase_url: str | None = None


class ErrorResponse(Camel, frozen=True):
    """Every error."""

    error: ErrorDetail


class Input(Camel, frozen=True):
    """The source of a job. Zero duration: it is still being fetched."""

    file_name: str
    duration_seconds: int
    file_size_bytes: int


class JobOptions(Camel, frozen=True):
    """What was asked for, and the model that serves it."""

    output_type: OutputType
    quality: Quality
    output_format: OutputFormat
    model: str


class Output(Camel, frozen=True):
    """A finished track to download."""

    url: str
    expires_at: Time


class AudioMetadata(Camel, frozen=True):
    """Tempo and key of the mix; null where they cannot be told."""

    bpm: float | None
    key: str | None


class JobCreatedResponse(Camel, frozen=True):
    """The answer to `POST /jobs`."""

    id: str
    status: Status
    progress: int
    created_at: Time
    estimated_seconds: int
    credits_required: int
    input: Input
    options: JobOptions
    outputs: dict[str, Output] | None
    metadata: dict[str, Any] | None


class JobListItem(Camel, frozen=True):
    """One job of `GET /jobs`."""

    id: str
    status: Status
    progress: int
    created_at: Time
    completed_at: Time | None
    input: Input
    options: JobOptions
    credits_charged: int
    error_message: str | None
    metadata: dict[str, Any] | None


class JobDetailResponse(Camel, frozen=True):
    """`GET /jobs/{id}`."""

    id: str
    status: Status
    progress: int
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    input: Input
    options: JobOptions
    outputs: dict[str, Output] | None
    credits_charged: int
    error_message: str | None
    expires_at: Time | None
    audio_metadata: AudioMetadata | None
    metadata: dict[str, Any] | None


class Pagination(Camel, frozen=True):
    """Where a page stands among all."""

    total: int
    limit: int
    offset: int
    has_more: bool


class JobsListResponse(Camel, frozen=True):
    """`GET /jobs`."""

    jobs: list[JobListItem]
    pagination: Pagination


class Instructions(Camel, frozen=True):
    """What to do with an upload URL, for people."""

    step1: str
    step2: str
    note: str


class UploadResponse(Camel, frozen=True):
    """`POST /upload`."""

    upload_url: str
    upload_key: str
    expires_at: Time
    max_file_size_bytes: int
    max_file_size_mb: int
    content_type: str
    instructions: Instructions


class UploadedResponse(Camel, frozen=True):
    """The answer to the signed PUT."""

    upload_key: str
    file_size_bytes: int


class BalanceResponse(Camel, frozen=True):
    """`GET /balance`."""

    balance_seconds: int
    balance_minutes: int
    balance_formatted: str
    updated_at: Time


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


class DeletedResponse(Camel, frozen=True):
    """The answer to every DELETE."""

    deleted: bool


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


def timestamp(seconds: float) -> str:
    """Unix seconds as `2026-05-21T12:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "milliseconds")[:-6] + "Z"


def _maybe(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)


def formatted(seconds: int) -> str:
    """A balance in words: `5 minutes`, `1 minute 30 seconds`, `0 seconds`."""
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in zip(divmod(seconds, 60), ("minute", "second"), strict=True)
        if count
    ]
    return " ".join(parts) or "0 seconds"


def balance(seconds: int, changed: float) -> BalanceResponse:
    """An account's balance."""
    return BalanceResponse(
        balance_seconds=seconds, balance_minutes=seconds // 60,
        balance_formatted=formatted(seconds), updated_at=timestamp(changed),
    )  # fmt: skip


def input_of(request: Request) -> Input:
    """The source of a job."""
    return Input(
        file_name=request.file_name, duration_seconds=round(request.seconds),
        file_size_bytes=request.size_bytes,
    )  # fmt: skip


def options_of(request: Request) -> JobOptions:
    """What was asked for."""
    return JobOptions(  # the words were checked when the job came in
        output_type=cast(OutputType, request.output_type), quality=cast(Quality, request.quality),
        output_format=cast(OutputFormat, request.output_format), model=request.model,
    )  # fmt: skip


def outputs_of(job: SplitJob, mint: MintUrl, now: float) -> dict[str, Output] | None:
    """The finished tracks of a completed job, with URLs that are valid for an hour."""
    if job.status != "completed":
        return None
    expires = int(now) + DOWNLOAD_SECONDS
    until = timestamp(expires)
    return {
        track: Output(url=mint(job.job.id, name, expires), expires_at=until)
        for track, name in job.files.items()
    }


def status_of(job: SplitJob) -> Status:
    """The job's status in the contract's spelling."""
    return cast(Status, job.status.upper())


def audio_metadata(job: SplitJob) -> AudioMetadata | None:
    """Tempo and key, once the job has sound to show."""
    if job.status != "completed":
        return None
    return AudioMetadata(bpm=job.bpm, key=job.key)


def created(new: Created) -> JobCreatedResponse:
    """A job that was just accepted."""
    return JobCreatedResponse(
        id=new.id, status="PENDING", progress=0, created_at=timestamp(new.created_at),
        estimated_seconds=new.estimate, credits_required=new.credits,
        input=input_of(new.request), options=options_of(new.request), outputs=None,
        metadata=new.request.metadata,
    )  # fmt: skip


def detail(
    job: SplitJob, mint: MintUrl, now: float, retention_seconds: float
) -> JobDetailResponse:
    """One job, whole."""
    row = job.job
    kept = row.state in ("completed", "expired") and row.completed_at is not None
    return JobDetailResponse(
        id=row.id, status=status_of(job), progress=row.progress,
        created_at=timestamp(row.created_at), started_at=_maybe(row.started_at),
        completed_at=_maybe(row.completed_at), input=input_of(job.request),
        options=options_of(job.request), outputs=outputs_of(job, mint, now),
        credits_charged=row.charged, error_message=row.error,
        expires_at=timestamp(row.expired_at or (row.completed_at or 0) + retention_seconds)
        if kept else None,
        audio_metadata=audio_metadata(job), metadata=job.request.metadata,
    )  # fmt: skip


def jobs_list(
    jobs: Sequence[SplitJob], total: int, limit: int, offset: int
) -> JobsListResponse:
    """A page of jobs."""
    return JobsListResponse(
        jobs=[_list_item(job) for job in jobs],
        pagination=Pagination(
            total=total, limit=limit, offset=offset, has_more=offset + len(jobs) < total
        ),
    )


def _list_item(job: SplitJob) -> JobListItem:
    row = job.job
    return JobListItem(
        id=row.id, status=status_of(job), progress=row.progress,
        created_at=timestamp(row.created_at), completed_at=_maybe(row.completed_at),
        input=input_of(job.request), options=options_of(job.request),
        credits_charged=row.charged, error_message=row.error, metadata=job.request.metadata,
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
            created_at=timestamp(row.created_at), completed_at=_maybe(row.completed_at),
            audio_metadata=audio_metadata(job), metadata=job.request.metadata,
        ),
    )  # fmt: skip


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
        last_called_at=_maybe(webhook.last_called_at), created_at=timestamp(webhook.created_at),
    )  # fmt: skip


def _events(webhook: Webhook) -> list[Event]:
    return cast(list[Event], webhook.events)


def media_type(path: Path) -> str:
    """The media type of a finished track."""
    return MEDIA_TYPES[path.suffix]
