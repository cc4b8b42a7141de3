"""The peaks of tracks that still grow: made when somebody looks, from what is new since then."""

from collections.abc import Awaitable, Callable

import numpy as np

from server.audio.peaks import FINE, Pairs, pairs_of
from server.jobs.listening.track_places import OpenTrack
from server.sound import SAMPLE_RATE

MOST_JOBS = 64  # that are looked at; the one that was looked at longest ago is forgotten first
AT_ONCE = 60 * SAMPLE_RATE // FINE  # stretches of a track that are read for one look
BLOCK = 256  # stretches, a megabyte

Open = Callable[[], OpenTrack | None]
InThread = Callable[..., Awaitable[Pairs]]


class GrowingPeaks:
    """What was made so far, by job and track. A track of three minutes takes 30 kB."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, Pairs]] = {}

    def forget(self, job_id: str) -> None:
        """The job's tracks grow no more."""
        self._jobs.pop(job_id, None)

    async def look(self, job_id: str, name: str, open_track: Open, in_thread: InThread) -> Pairs:
        """The pairs of a track's whole stretches, as far as one look goes."""
        tracks = self._jobs[job_id] = self._jobs.pop(job_id, {})
        while len(self._jobs) > MOST_JOBS:
            del self._jobs[next(iter(self._jobs))]
        held = tracks.get(name, np.zeros((0, 2), np.int8))
        tracks[name] = await in_thread(_longer, held, open_track)
        return tracks[name]


def _longer(held: Pairs, open_track: Open) -> Pairs:
    """The pairs `held` and those that come next; fewer, where a track began again."""
    try:
        track = open_track()
    except FileNotFoundError:
        track = None
    if track is None:  # it is finished, or begins again: what is drawn stays until then
        return held
    try:
        known = len(held)
        final = min(track.frames // FINE, known + AT_ONCE)
        parts = [held[:final]]
        for start in range(known, final, BLOCK):
            count = min(BLOCK, final - start)
            parts.append(pairs_of(track.read(start * FINE, count * FINE)))
        return np.concatenate(parts)
    finally:
        track.sound.close()
