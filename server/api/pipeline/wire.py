"""The Audio Pipeline API on the wire: its answers as Structs, its times and its JSON.

Knows the jobs room's views and no HTTP.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from server.api.ports import JobView, Outlook, StageView

PLAIN_WORKER: Final = ("worker", "pool", "device")  # what anybody may know of one
PROCESSORS: Final[Mapping[str, str]] = MappingProxyType(
    {  # stage: processor_type, in the contract's order
        "audio_separation": "separator",
        "harmonic_percussive_separation": "decomposition",
        "composite_track_creation": "composition",
        "normalization": "audio_processing",
    }
)

# Plain strings, whose values the OpenAPI document lists.
Health = Annotated[str, Meta(extra_json_schema={"enum": ["healthy", "degraded"]})]
Live = Annotated[str, Meta(extra_json_schema={"enum": ["live", "stuck"]})]
Ready = Annotated[str, Meta(extra_json_schema={"enum": ["ready", "unready"]})]
JobState = Annotated[str, Meta(extra_json_schema={"enum": ["processing", "completed", "failed"]})]
StageState = Annotated[
    str, Meta(extra_json_schema={"enum": ["pending", "processing", "completed", "failed"]})
]


class HealthAnswer(Struct, frozen=True, omit_defaults=True):
    """`GET /health`. `problems`: why it is degraded."""

    status: Health
    version: str
    pipeline_stages: int
    problems: list[str] = []


class LiveAnswer(Struct, frozen=True):
    """`GET /health/live`."""

    status: Live


class ReadyAnswer(Struct, frozen=True):
    """`GET /health/ready`."""

    status: Ready
    problems: list[str]


class PipelineStage(Struct, frozen=True):
    """One stage in `GET /config`."""

    name: str
    processor_type: str


class PartAnswer(Struct, frozen=True):
    """A model that a preset runs."""

    name: str
    size_bytes: int
    licence: str | None


class ModelAnswer(Struct, frozen=True):
    """One model in `GET /config`, or a preset: models in a row, or the mean of several, by the
    settings. `family`: `preset` of such; `parts`: a preset's models, whose sizes and licences are
    its own; `stems`: what may be asked for with `stems`; `tiers`: the lists
    in the settings that name it; `seconds_per_second`: what its last jobs took for a second of
    audio, null before there was one; `licence`: null where it is not known."""

    name: str
    family: str | None
    stems: list[str]
    size_bytes: int
    licence: str | None
    tiers: list[str]
    seconds_per_second: float | None
    parts: list[PartAnswer]


class ConfigAnswer(Struct, frozen=True):
    """`GET /config`. The answer may carry more keys."""

    max_file_size_mb: int
    supported_formats: list[str]
    pipeline_stages: list[PipelineStage]
    installed_models: list[ModelAnswer]


class StageAnswer(Struct, frozen=True):
    """One stage of a job. Times are naive UTC with six digits."""

    name: str
    processor_type: str
    status: StageState
    started_at: str | None
    completed_at: str | None
    error: str | None
    duration_seconds: float | None


class InputAnswer(Struct, frozen=True):
    """What the upload turned out to be, once it is decoded: beyond the contract.

    `track`: which of several was taken; `warnings`: what of it was lost.
    """

    format: str
    codec: str | None
    track: str | None
    warnings: list[str]


class JobAnswer(Struct, frozen=True):
    """`POST /process`, and callbacks. `outputs` maps tracks to absolute file paths."""

    job_id: str
    status: JobState
    created_at: str
    stages: list[StageAnswer]
    outputs: dict[str, str]
    input: InputAnswer | UnsetType = UNSET


class SongAnswer(Struct, frozen=True):
    """The song of a job: its length is null while it is not known; from then on it is told as
    `InputAnswer` tells it."""

    file_name: str
    duration_seconds: float | None
    format: str | UnsetType = UNSET
    codec: str | UnsetType | None = UNSET
    track: str | UnsetType | None = UNSET
    warnings: list[str] | UnsetType = UNSET


class ListenAnswer(Struct, frozen=True):
    """How far a job can be heard: each of its tracks so far, and (`final_frames`) all that the
    model makes. Frames are 1/44100 s; `total_frames` is the song's length, 0 while not known."""

    final_frames: int
    total_frames: int
    tracks: dict[str, int]


class QueueAnswer(Struct, frozen=True):
    """When the job's turn comes: 1 is the next to be separated, 0 waits no more."""

    position: int


class JobDetails(Struct, frozen=True):
    """`GET /job/{job_id}`: the job, and how it stands. `progress` is in percent; `tracks` are all
    names that can be heard once it is completed, and of a failed job those that it still has;
    `expires_at` is null until it has ended."""

    job_id: str
    status: JobState
    created_at: str
    stages: list[StageAnswer]
    outputs: dict[str, str]
    progress: int
    tracks: list[str]
    expires_at: str | None
    input: SongAnswer
    listen: ListenAnswer
    queue: QueueAnswer
    eta_seconds: int | None
    error: str | None


class DeletedAnswer(Struct, frozen=True):
    """`DELETE /job/{job_id}`."""

    job_id: str
    deleted: bool


def timestamp(seconds: float) -> str:
    """Unix seconds as the contract writes times: `2024-01-15T10:30:45.123456`, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00")


def outputs(view: JobView) -> dict[str, str]:
    """Track names and absolute paths of the complete files."""
    return {name: str(file.path) for name, file in view.tracks.items()}


def job_answer(view: JobView) -> JobAnswer:
    """A job in the contract's words."""
    return JobAnswer(
        job_id=view.id,
        status=view.state,
        created_at=timestamp(view.created_at),
        stages=[_stage_answer(stage) for stage in view.stages],
        outputs=outputs(view),
        input=InputAnswer(heard.format, heard.codec, heard.track, heard.warnings)
        if (heard := view.heard) else UNSET,
    )  # fmt: skip


def job_details(view: JobView, outlook: Outlook) -> JobDetails:
    """A job in the contract's words, and how it stands."""
    answer, audible = structs.asdict(job_answer(view)), outlook.audible
    heard = answer.pop("input")
    told = {} if heard is UNSET else structs.asdict(heard)
    return JobDetails(
        **answer,
        progress=outlook.progress,
        tracks=list(outlook.tracks),
        expires_at=None if outlook.expires_at is None else timestamp(outlook.expires_at),
        input=SongAnswer(view.file_name, outlook.seconds, **told),
        listen=ListenAnswer(audible.stems, audible.total, audible.tracks),
        queue=QueueAnswer(outlook.position),
        eta_seconds=outlook.eta,
        error=outlook.error,
    )


def _stage_answer(stage: StageView) -> StageAnswer:
    started, completed = stage.started_at, stage.completed_at
    duration = None
    if started is not None and completed is not None:
        duration = round(max(0.0, completed - started), 3)  # a wall clock may be set back
    return StageAnswer(
        name=stage.name,
        processor_type=PROCESSORS[stage.name],
        status=stage.state,
        started_at=None if started is None else timestamp(started),
        completed_at=None if completed is None else timestamp(completed),
        error=stage.error,
        duration_seconds=duration,
    )
