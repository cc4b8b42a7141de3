"""The Audio Pipeline API on the wire: its answers as Structs, its times and its JSON.

Knows the jobs room's views and no HTTP.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from server.api.ports import JobView, StageView

API_VERSION: Final = "1.0.0"
ENCODER: Final = msgspec.json.Encoder()
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
JobState = Annotated[str, Meta(extra_json_schema={"enum": ["processing", "completed", "failed"]})]
StageState = Annotated[
    str, Meta(extra_json_schema={"enum": ["pending", "processing", "completed", "failed"]})
]


class HealthAnswer(Struct, frozen=True):
    """`GET /health`."""

    status: Health
    version: str
    pipeline_stages: int


class PipelineStage(Struct, frozen=True):
    """One stage in `GET /config`."""

    name: str
    processor_type: str


class ConfigAnswer(Struct, frozen=True):
    """`GET /config`. The answer may carry more keys."""

    max_file_size_mb: int
    supported_formats: list[str]
    pipeline_stages: list[PipelineStage]


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
    """`POST /process` and `GET /job/{job_id}`. `outputs` maps tracks to absolute file paths."""

    job_id: str
    status: JobState
    created_at: str
    stages: list[StageAnswer]
    outputs: dict[str, str]
    input: InputAnswer | UnsetType = UNSET


class ErrorAnswer(Struct, frozen=True):
    """Every error."""

    detail: str


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
