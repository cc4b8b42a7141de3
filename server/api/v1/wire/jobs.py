"""A job as clients see it: just accepted, in a list, whole."""

from collections.abc import Callable, Sequence
from math import floor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from server.api.ports import Created, Heard, Outlook, Request, SplitJob
from server.api.v1.wire.common import (
    Camel,
    OutputFormat,
    OutputType,
    Pagination,
    Quality,
    Status,
    Time,
    maybe,
    pagination,
    timestamp,
)
from server.stems import FOUR

DOWNLOAD_SECONDS: Final = 3600
LISTENING: Final = "studio"  # the name for which the URLs of STUDIO are signed, as files are
STUDIO: Final = ("window", "peaks", "events", "mix", "stems.stem.m4a")
MEDIA_TYPES: Final = MappingProxyType(
    {".mp3": "audio/mpeg", ".flac": "audio/flac", ".wav": "audio/wav"}
)
MintUrl = Callable[[str, str, int], str]
"""Makes the signed URL of a job's file that is valid until a unix time."""


class Input(Camel, frozen=True):
    """The source of a job. Zero duration: it is still being fetched, or measured."""

    file_name: str
    duration_seconds: int
    file_size_bytes: int
    # Beyond the contract, once it is decoded: what it turned out to be, which of several tracks
    # was taken, and what of it was lost.
    format: str | UnsetType = UNSET
    codec: str | UnsetType | None = UNSET
    track: str | UnsetType | None = UNSET
    warnings: list[str] | UnsetType = UNSET


class JobOptions(Camel, frozen=True):
    """What was asked for, and the model, or preset, that serves it. `stems`: where they were asked
    for."""

    output_type: OutputType
    quality: Quality
    output_format: OutputFormat
    model: str
    stems: list[str] | UnsetType = UNSET


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


class Listen(Camel, frozen=True):
    """How far a job can be heard: each of its tracks so far, and (`finalFrames`) all that the
    model makes. Frames are 1/44100 s; `totalFrames` is the song's length, 0 while not known."""

    final_frames: int
    total_frames: int
    tracks: dict[str, int]


class Queue(Camel, frozen=True):
    """When the job's turn comes: 1 is the next to be separated, 0 waits no more."""

    position: int


class Studio(Camel, frozen=True):
    """How a job is heard while it is made, and what is made of it then, by URLs that take further
    parameters. `tracks`: all names that it will have, and the mix, but for what a completed job has
    not; `stemFileUrl`: null where the job has not the four stems of one."""

    window_url: str
    peaks_url: str
    events_url: str
    mix_url: str
    stem_file_url: str | None
    tracks: list[str]
    listen: Listen
    queue: Queue
    eta_seconds: int | None


class JobDetailResponse(Camel, frozen=True):
    """`GET /jobs/{id}`. `studio` is null where there is nothing to hear."""

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
    studio: Studio | None


class JobsListResponse(Camel, frozen=True):
    """`GET /jobs`."""

    jobs: list[JobListItem]
    pagination: Pagination


def created(new: Created) -> JobCreatedResponse:
    """A job that was just accepted."""
    return JobCreatedResponse(
        id=new.id, status="PENDING", progress=0, created_at=timestamp(new.created_at),
        estimated_seconds=new.estimate, credits_required=new.credits,
        input=input_of(new.request), options=options_of(new.request), outputs=None,
        metadata=new.request.metadata,
    )  # fmt: skip


def detail(
    job: SplitJob, mint: MintUrl, now: float, retention_seconds: float,
    outlook: Outlook | None = None,
) -> JobDetailResponse:  # fmt: skip
    """One job, whole. URLs are minted as of `now`."""
    row = job.job
    kept = row.state in ("completed", "expired") and row.completed_at is not None
    return JobDetailResponse(
        id=row.id, status=status_of(job), progress=row.progress,
        created_at=timestamp(row.created_at), started_at=maybe(row.started_at),
        completed_at=maybe(row.completed_at), input=input_of(job.request, job.heard),
        options=options_of(job.request), outputs=outputs_of(job, mint, now),
        credits_charged=row.charged, error_message=row.error,
        expires_at=timestamp(row.expired_at or (row.completed_at or 0) + retention_seconds)
        if kept else None,
        audio_metadata=audio_metadata(job), metadata=job.request.metadata,
        studio=None if outlook is None else studio(job, outlook, mint, now),
    )  # fmt: skip


def jobs_list(
    jobs: Sequence[SplitJob], total: int, limit: int, offset: int
) -> JobsListResponse:
    """A page of jobs."""
    return JobsListResponse(
        jobs=[_list_item(job) for job in jobs],
        pagination=pagination(len(jobs), total, limit, offset),
    )


def _list_item(job: SplitJob) -> JobListItem:
    row = job.job
    return JobListItem(
        id=row.id, status=status_of(job), progress=row.progress,
        created_at=timestamp(row.created_at), completed_at=maybe(row.completed_at),
        input=input_of(job.request), options=options_of(job.request),
        credits_charged=row.charged, error_message=row.error, metadata=job.request.metadata,
    )  # fmt: skip


def input_of(request: Request, heard: Heard | None = None) -> Input:
    """The source of a job, with what was heard of it where that is known."""
    source = Input(
        file_name=request.file_name, duration_seconds=floor(request.seconds + 0.5),
        file_size_bytes=request.size_bytes,
    )  # fmt: skip
    return msgspec.structs.replace(source, **msgspec.structs.asdict(heard)) if heard else source


def options_of(request: Request) -> JobOptions:
    """What was asked for."""
    return JobOptions(  # the words were checked when the job came in
        output_type=cast(OutputType, request.output_type), quality=cast(Quality, request.quality),
        output_format=cast(OutputFormat, request.output_format), model=request.model,
        stems=UNSET if request.stems is None else list(request.stems),
    )  # fmt: skip


def outputs_of(job: SplitJob, mint: MintUrl, now: float) -> dict[str, Output] | None:
    """The finished tracks of a completed job, with URLs that are valid for an hour."""
    if job.status != "completed":
        return None
    expires = int(now) + DOWNLOAD_SECONDS
    until = timestamp(expires)
    vocals_first = sorted(job.files.items(), key=lambda file: file[0] != "vocals")
    return {
        track: Output(url=mint(job.job.id, name, expires), expires_at=until)
        for track, name in vocals_first
    }


def studio(job: SplitJob, outlook: Outlook, mint: MintUrl, now: float) -> Studio:
    """What a player needs, with URLs that are valid for an hour."""
    expires = int(now) + DOWNLOAD_SECONDS
    audible = outlook.audible
    # One signature for all of them: who may hear a job may do so in every way.
    base, _, query = mint(job.job.id, LISTENING, expires).rpartition(f"{LISTENING}?")
    window, peaks, events, mix, stems = (f"{base}{name}?{query}" for name in STUDIO)
    return Studio(
        window_url=window, peaks_url=peaks, events_url=events, mix_url=mix,
        stem_file_url=stems if set(FOUR) <= set(outlook.tracks) else None,
        tracks=list(outlook.tracks),
        listen=Listen(
            final_frames=audible.stems, total_frames=audible.total, tracks=audible.tracks
        ),
        queue=Queue(position=outlook.position), eta_seconds=outlook.eta,
    )  # fmt: skip


def status_of(job: SplitJob) -> Status:
    """The job's status in the contract's spelling."""
    return cast(Status, job.status.upper())


def audio_metadata(job: SplitJob) -> AudioMetadata | None:
    """Tempo and key, once the job has sound to show; also when that is gone."""
    if job.status not in ("completed", "expired"):
        return None
    return AudioMetadata(bpm=job.bpm, key=job.key)


def media_type(path: Path) -> str:
    """The media type of a finished track."""
    return MEDIA_TYPES[path.suffix]
