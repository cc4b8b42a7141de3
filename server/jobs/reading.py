"""What a stored job says: how it was ordered, which tracks it has, what its stages have found.

Pure: reads the rows alone, no file.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from server.errors import JobNotFound
from server.presets.inferences import inside_other
from server.stems import FOUR, OUTPUTS, SIX
from server.tracks import MIX, tracks_of
from server.work.messages import Options
from store import Job, JobRepository

# Below this gain of `main` two tracks that are rounded at the level of the mix are closer to it.
ROUGH: Final = 0.5
PARTS: Final = ("harmonic", "percussive")  # they add up to the mix, but for where they are cut off


class Term(Struct, frozen=True):
    """A finished track in a sum: its path below the job's outputs, and a linear gain.

    finer: paths of tracks whose sum, times `level`, is this track, and is rounded less.
    """

    path: str
    gain: float = 1.0
    finer: tuple[str, ...] = ()
    level: float = 1.0


async def live_job(jobs: JobRepository, job_id: str) -> Job:
    """A job that has its files, or will. Raises JobNotFound: never existed, or has expired."""
    job = await jobs.get(job_id)
    if job is None or job.state == "expired":
        raise JobNotFound("Job not found")
    return job


def names_of(job: Job) -> tuple[str, ...]:
    """All tracks that a job will have, and the mix. Of one that has ended, those that it has."""
    stems = stems_of(job)
    names = (*(tracks_of(stems) if job.api == "pipeline" else stems), MIX)
    if job.state == "processing":
        return names
    return tuple(name for name in names if finished_of(job, name))


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


def joint_gain(job: Job) -> float:
    """What a StemSplit job's tracks, and so the mix, were multiplied with, so that none clips."""
    return float(_fact(job, f"encode/{stems_of(job)[0]}", "gain", 1.0))


def _fact(job: Job, stage: str, name: str, otherwise: Any) -> Any:
    facts = next((found.facts for found in job.stages if found.name == stage), "{}")
    return msgspec.json.decode(facts).get(name, otherwise)


def finished_of(job: Job, name: str) -> list[Term]:
    """The finished tracks whose sum is this track: itself, as a rule. Empty: not finished."""
    if name == MIX:
        return _mix(job)
    return [Term(job.tracks[name].path)] if name in job.tracks else []


def _mix(job: Job) -> list[Term]:
    """The mix has no file of its own: `main` is the mix at another level, and the vocals and the
    instrumental were made so that they add up to it, as a whole separation nearly does."""
    paths = {name: track.path for name, track in job.tracks.items()}
    if "main" in paths:
        gain = mix_gain(job)
        rough = gain < ROUGH and options_of(job).wav_format != "FLOAT"
        finer = tuple(paths[part] for part in PARTS) if rough and paths.keys() >= set(PARTS) else ()
        return [Term(paths["main"], 1 / gain, finer, gain)]
    for parts in (OUTPUTS["BOTH"], _whole(job)):
        if parts and set(parts) <= paths.keys():
            return [Term(paths[part]) for part in parts]
    return []


def _whole(job: Job) -> tuple[str, ...]:
    """The stems that are all of the song, each sound once; none if the model leaves any out."""
    options = options_of(job)
    if not set(FOUR) <= set(options.stems):
        return ()
    apart = set(options.stems) - inside_other(options.inferences)
    return tuple(stem for stem in SIX if stem in apart)
