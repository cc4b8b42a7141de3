"""Which stages a job of either API has, and how the pipeline's show as its four. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from server.audio.heard import Heard
from store import FETCH, Job, Stage, StagePlan

STOPPED = "Stopped because another stage failed"
SIMULATE = "simulate"  # needs no worker, as fetching does not

# What runs for the pipeline API: each stage as soon as the ones it needs are done.
PIPELINE: tuple[StagePlan, ...] = (
    StagePlan("decode", "audio"),
    StagePlan("separate", "separation", needs=("decode",)),
    StagePlan("harmonic_percussive", "audio", needs=("decode",)),
    StagePlan("encode_stems", "audio", needs=("separate",)),
    StagePlan("compose", "audio", needs=("harmonic_percussive",)),
    StagePlan("normalise", "audio", needs=("compose",)),
)

# What is shown: the documented stages, and which of ours each one is made of.
SHOWN: dict[str, tuple[str, ...]] = {
    "audio_separation": ("decode", "separate", "encode_stems"),
    "harmonic_percussive_separation": ("harmonic_percussive",),
    "composite_track_creation": ("compose",),
    "normalization": ("normalise",),
}


def split_plan(
    stems: Sequence[str], fetched: bool, simulated: bool = False
) -> tuple[StagePlan, ...]:
    """The stages of a StemSplit job: tracks are encoded side by side, tempo and key come late.

    fetched: False where the source has to be fetched first. simulated: a test job is told how to
    go, before any of its own work.
    """
    first = () if fetched else (StagePlan("fetch", FETCH),)
    needs = tuple(stage.name for stage in first)
    if simulated:
        first, needs = (*first, StagePlan(SIMULATE, FETCH, needs)), (SIMULATE,)
    return (
        *first,
        StagePlan("decode", "audio", needs=needs),
        StagePlan("separate", "separation", needs=("decode",)),
        *(StagePlan(f"encode/{stem}", "audio", needs=("separate",)) for stem in stems),
        StagePlan("describe", "audio", needs=("decode",), late=True),
    )


def heard_of(stages: Sequence[Stage]) -> Heard | None:
    """What a job's source turned out to be; None before it was decoded."""
    for stage in stages:
        if stage.name == "decode":
            return msgspec.json.decode(stage.facts, type=_Decoded).input
    return None


def check_facts(stage: str, facts: Mapping[str, Any]) -> None:
    """Raises msgspec.ValidationError: `heard_of` could not read what this stage tells."""
    if stage == "decode":
        msgspec.convert(facts, type=_Decoded)


class _Decoded(Struct, frozen=True):
    input: Heard | None = None


def kind_of(stage: str) -> str:
    """What kind of stage it is: `encode` of `encode/vocals`."""
    return stage.partition("/")[0]


# Every kind of stage, in the order of the work.
KINDS: tuple[str, ...] = tuple(
    dict.fromkeys(kind_of(stage.name) for stage in (*split_plan(("",), False, True), *PIPELINE))
)


class StageView(Struct, frozen=True):
    """One documented stage. Times are unix seconds."""

    name: str
    state: str
    started_at: float | None
    completed_at: float | None
    error: str | None


def shown_stages(job: Job) -> list[StageView]:
    """The documented stages of a job, in order, from the ones that really run.

    Of a job that is over none is shown to run: what had begun, and waited for its turn or for
    another attempt, ended with it.
    """
    by_name = {stage.name: stage for stage in job.stages}
    shown = [_merge(name, [by_name[part] for part in parts]) for name, parts in SHOWN.items()]
    if job.state == "processing":
        return shown
    return [
        structs.replace(one, state="failed", completed_at=job.completed_at, error=STOPPED)
        if one.state == "processing" else one for one in shown
    ]  # fmt: skip


def _merge(name: str, parts: list[Stage]) -> StageView:
    states = {part.state for part in parts}
    if "failed" in states:
        state = "failed"
    elif states == {"completed"}:
        state = "completed"
    else:
        state = "pending" if states == {"pending"} and not _begun(parts) else "processing"
    ended = state in ("completed", "failed")
    starts = [part.started_at for part in parts if part.started_at is not None]
    ends = [part.completed_at for part in parts if part.completed_at is not None]
    error = next((part.error for part in parts if part.state == "failed"), None)
    return StageView(
        name=name,
        state=state,
        started_at=min(starts, default=None),
        completed_at=max(ends, default=None) if ended else None,
        error=error,
    )


def _begun(parts: list[Stage]) -> bool:
    """A stage that waits for another attempt has begun all the same."""
    return any(part.started_at is not None for part in parts)
