"""Where the scratch files of running jobs lie: on the data disk, or in a faster place as long as
they fit in there (`server.scratch_dir`, a tmpfs as a rule)."""

import shutil
from pathlib import Path

from server.jobs.folders import Folders
from server.scratch import FRAME_BYTES, SAMPLE_RATE

FILES = 7  # the mix and six stems; or the mix, four stems and both parts of it
SPARE = 0.1  # of the faster place: others may use it too


class ScratchPlaces:
    """Says where each job's files are. A job moves at most once: when decoding is done and its
    song turns out longer than it claimed."""

    def __init__(self, folders: Folders) -> None:
        self._disk, self._fast = folders.scratch, folders.fast
        self._booked: dict[str, float] = {}  # bytes in the faster place, by job
        self._refused: set[str] = set()

    def of(self, job_id: str) -> Path:
        """The folder of a job's scratch files."""
        if self._fast is not None and (self._fast / job_id).is_dir():
            return self._fast / job_id
        return self._disk / job_id

    def open(self, job_id: str, seconds: float) -> None:
        """Chooses a place before anything is decoded. seconds: what the song claims, or 0."""
        if self._fast is None:
            return
        usage, need = shutil.disk_usage(self._fast), _bytes(seconds * SAMPLE_RATE)
        others = sum(self._booked.values()) - self._booked.get(job_id, 0.0)
        fits = need + others <= usage.free - SPARE * usage.total
        if seconds > 0 and fits and job_id not in self._refused:
            self._booked[job_id] = need
            (self._fast / job_id).mkdir(mode=0o700, exist_ok=True)
        else:
            self._leave(job_id)

    def settle(self, job_id: str, frames: int) -> None:
        """The song is decoded, and `frames` long: goes to the disk if it claimed to be shorter."""
        need = _bytes(frames)
        if self._fast is None or job_id not in self._booked:
            return
        if need <= self._booked[job_id]:
            self._booked[job_id] = need
            return
        for file in (self._fast / job_id).iterdir():
            shutil.copyfile(file, self._disk / job_id / file.name)
        self._leave(job_id)

    def refuse(self, job_id: str) -> None:
        """There was no room for what is decoded: the next attempt at it is on the disk."""
        if job_id in self._booked:
            self._refused.add(job_id)

    def remove(self, job_id: str) -> None:
        """Removes a job's scratch files, and the input with them."""
        self._leave(job_id)
        self._refused.discard(job_id)
        shutil.rmtree(self._disk / job_id, ignore_errors=True)

    def _leave(self, job_id: str) -> None:
        if self._fast is not None:
            shutil.rmtree(self._fast / job_id, ignore_errors=True)
            self._booked.pop(job_id, None)


def _bytes(frames: float) -> float:
    return FILES * FRAME_BYTES * frames
