"""Which file holds a track's frames at the moment, and how far they are final.

A finished track has its own file. Before that its frames are in the job's scratch folder, in a
file that grows from the front: what is in it is not changed any more.
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from msgspec import Struct

from server.audio.finished import Frames
from server.audio.finished.sums import Sum, open_finer
from server.jobs.disk.folders import Folders
from server.jobs.disk.places import ScratchPlaces
from server.jobs.reading import Term, finished_of, total_frames
from server.tracks import MIX
from server.work.scratch import FrameReader, parts_of
from store import Job


class OpenTrack(Struct):
    """A track to read from. `frames` are as many as are final; finished: there will be no more,
    and these stay as they are."""

    sound: Frames
    finished: bool
    gain: float = 1.0

    @property
    def frames(self) -> int:
        """How far the track is final."""
        return self.sound.frames

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        found = self.sound.read(start, count)
        if self.gain != 1.0:
            found = found * np.float32(self.gain)
        return found


class TrackPlaces:
    """Finds and opens the tracks of jobs."""

    def __init__(self, folders: Folders) -> None:
        self._outputs = folders.outputs
        self._scratch = ScratchPlaces(folders)

    def open(self, job: Job, names: Sequence[str]) -> list[OpenTrack | None]:
        """The tracks, in this order; None for one of which nothing is final yet.

        Raises FileNotFoundError: it is gone; where the job has moved on meanwhile, ask again.
        """
        with ExitStack() as stack:
            found = []
            for name in names:
                # While a job runs the decoded mix itself is there. Later it is made of tracks,
                # which give it back but for the last bit, and for a gain that they may have.
                looks = (self._finished, self._growing)
                if name == MIX and job.state == "processing":
                    looks = (self._growing, self._finished)
                track = looks[0](job, name) or looks[1](job, name)
                if track is not None:
                    stack.callback(track.sound.close)
                found.append(track)
            stack.pop_all()  # they are the caller's now
        return found

    def frames(self, job: Job, names: Sequence[str]) -> list[int]:
        """How far each track is final. What has moved on at this moment counts as nothing."""
        total = total_frames(job)
        return [total if finished_of(job, name) else self._grown(job, name) for name in names]

    def _finished(self, job: Job, name: str) -> OpenTrack | None:
        terms = finished_of(job, name)
        if not terms:
            return None
        parts = [self._open(job, term) for term in terms]
        return OpenTrack(Sum(*parts) if len(parts) > 1 else parts[0], True, terms[0].gain)

    def _open(self, job: Job, term: Term) -> Frames:
        folder = self._outputs / job.id
        return open_finer(folder / term.path, [folder / path for path in term.finer], term.level)

    def _growing(self, job: Job, name: str) -> OpenTrack | None:
        if not _has_begun(job, name):
            return None
        path = self._scratch.of(job.id) / f"{name}.f32"
        with suppress(FileNotFoundError):
            return OpenTrack(FrameReader(path), name == MIX and job.api == "pipeline")
        return _longest(parts_of(path))

    def _grown(self, job: Job, name: str) -> int:
        try:
            track = self._growing(job, name)
        except OSError:
            return 0
        if track is None:
            return 0
        track.sound.close()
        return track.frames


def _longest(parts: Sequence[Path]) -> OpenTrack | None:
    """Of several attempts' the one that came farthest: they all write the same."""
    readers = []
    for part in parts:
        with suppress(FileNotFoundError):  # finished, or given up, at this very moment
            readers.append(FrameReader(part))
    readers.sort(key=lambda reader: reader.frames)
    for reader in readers[:-1]:
        reader.close()
    return OpenTrack(readers[-1], False) if readers else None


def _has_begun(job: Job, name: str) -> bool:
    """Whether what lies in the scratch folder under this name is this job's own work.

    Before it is decoded (again), that is what a crash of the machine has left.
    """
    decode = next(stage.state for stage in job.stages if stage.name == "decode")
    return decode == "completed" or (name == MIX and decode == "processing")
