"""What a stored job says: how it was ordered, which tracks it has, what its stages have found.

Pure: reads the rows alone, no file.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from server.audio.tracks import MIX, tracks_of
from server.errors import JobNotFound
from server.presets.inferences import inside_other
from server.stems import FOUR, OUTPUTS, SIX
from server.work.messages import Options
from store import Job, JobRepository


async def live_job(jobs: JobRepository, job_id: str) -> Job:
    """A job that has its files, or will. Raises JobNotFound: never existed, or has expired."""
    job = await jobs.get(job_id)
    if job is None or job.state == "expired":
        raise JobNotFound("Job not found")
    return job


def names_of(job: Job) -> tuple[str, ...]:
    """All tracks that a job will have, and the mix."""
    stems = stems_of(job)
    return (*(tracks_of(stems) if job.api == "pipeline" else stems), MIX)


def stems_of(job: Job) -> tuple[str, ...]:
    """The tracks that the model makes."""
    return options_of(job).stems


def options_of(job: Job) -> Options:
    """What a job is to be made of, and how."""
    return msgspec.json.decode(job.options, type=Options)


def total_frames(job: Job) -> int:
    """The song's length, 0 while it is not known."""
    return int(_fact(job, "decode", "frames", 0))


def mix_gain(job: Job) -> float:
    """What the mix was multiplied with to make `main`."""
    gain = _fact(job, "compose", "gains", {}).get("main", 1.0)
    return float(gain) or 1.0


def _fact(job: Job, stage: str, name: str, otherwise: Any) -> Any:
    facts = next((found.facts for found in job.stages if found.name == stage), "{}")
    return msgspec.json.decode(facts).get(name, otherwise)


def finished_of(job: Job, name: str) -> Sequence[str]:
    """The finished tracks whose sum is this track: itself, as a rule. Empty: not finished."""
    if name in job.tracks:
        return (name,)
    if name != MIX:
        return ()
    # The mix has no file of its own: `main` is the mix at another level, and the vocals and the
    # instrumental were made so that they add up to it, as a whole separation nearly does.
    for parts in (("main",), OUTPUTS["BOTH"]):
        if set(parts) <= job.tracks.keys():
            return parts
    whole = _whole(job)
    return whole if set(whole) <= job.tracks.keys() else ()


def _whole(job: Job) -> tuple[str, ...]:
    """The stems that are all of the song, each sound once; none if the model leaves any out."""
    options = options_of(job)
    if not set(FOUR) <= set(options.stems):
        return ()
    apart = set(options.stems) - inside_other(options.inferences)
    return tuple(stem for stem in SIX if stem in apart)
