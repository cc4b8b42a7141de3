"""What a mix that somebody has set is made of. Pure."""

from collections.abc import Sequence

from msgspec import Struct, structs

from server.errors import InvalidRequest, JobNotCompleted, TrackNotFound
from server.jobs.reading import (
    Term,
    finished_of,
    names_of,
    options_of,
    stems_of,
    total_frames,
)
from server.presets.inferences import inside_other
from server.sound import SAMPLE_RATE
from server.stems import FOUR, PARTS_OF_OTHER, heard_at_first
from server.tracks import MIX
from store import Job

# The format's own colours for what it is made of, by name.
COLORS = {"drums": "#009e73", "bass": "#d55e00", "other": "#cc79a7", "vocals": "#56b4e9"}
OF_STEM = {"other": ("other", *PARTS_OF_OTHER)}  # a stem file has room for four


class MixOrder(Struct, frozen=True):
    """What is wanted: gains in dB, tracks that are muted or alone, seconds, and the format."""

    gains: dict[str, float]
    muted: Sequence[str]
    solo: Sequence[str]
    start: float
    end: float | None
    format: str


class Sheet(Struct, frozen=True):
    """A mix, ready to be rendered: frames `start` to `start + count` of a sum, in a format."""

    terms: Sequence[Term]
    start: int
    count: int
    format: str


def sheet(job: Job, order: MixOrder) -> Sheet:
    """The model's stems, each sound once, and whatever else the order names, as it says.

    Raises:
        TrackNotFound: the job never has a track that the order names.
        JobNotCompleted: a track is not finished yet.
        InvalidRequest: nothing is left of the song, or of its tracks.
    """
    named = [*order.gains, *order.muted, *order.solo]
    if not set(named) <= set(names_of(job)):
        raise TrackNotFound("Track not found")
    stems = heard_at_first(stems_of(job), inside_other(options_of(job).inferences))
    wanted = dict.fromkeys([*stems, *order.gains, *order.solo])
    heard = [name for name in wanted if name not in order.muted]
    if order.solo:
        heard = [name for name in heard if name in order.solo]
    if not heard:
        raise InvalidRequest("No track is left to be heard")
    terms = [term for name in heard for term in _terms(job, name, order.gains.get(name, 0.0))]
    total = total_frames(job)
    start = round(order.start * SAMPLE_RATE)
    end = total if order.end is None else min(total, round(order.end * SAMPLE_RATE))
    if start >= end:
        raise InvalidRequest("start must be before end, and within the song")
    return Sheet(terms, start, end - start, order.format)


def stem_sheets(job: Job) -> tuple[list[Term], dict[str, list[Term]]]:
    """The mix and the four stems of a stem file.

    Raises:
        TrackNotFound: the job has not all four.
        JobNotCompleted: one is not finished yet.
    """
    made = stems_of(job)
    if not set(FOUR) <= set(names_of(job)):
        raise TrackNotFound("This job has not the four stems of a stem file")
    apart = set(made) - inside_other(options_of(job).inferences)
    stems = {
        name: [term for part in OF_STEM.get(name, (name,)) if part in apart
               for term in _terms(job, part)]
        for name in FOUR
    }  # fmt: skip
    return _terms(job, MIX), stems


def _terms(job: Job, name: str, decibels: float = 0.0) -> list[Term]:
    terms = finished_of(job, name)
    if not terms:
        raise JobNotCompleted("Job not completed")
    gain = 10 ** (decibels / 20)
    return [structs.replace(term, gain=term.gain * gain) for term in terms]
