"""Where the scratch files of running jobs lie: on the data disk, or in a faster place as long as
they fit in there (`server.scratch_dir`, a tmpfs as a rule).

Nothing is remembered here but in files: what a job may still write is the length of its `room`, a
file without content, less what lies beside it.
"""

import math
import os
import shutil
from pathlib import Path

from server.jobs.disk.folders import Folders, written
from server.sound import FRAME_BYTES, SAMPLE_RATE

FILES = 7  # as a rule: the mix and six stems; or the mix, four stems and both parts of it
SPARE = 0.1  # of the faster place: others may use it too
ROOM = "room"
STAYS = "stays"  # an empty file: the job found no room elsewhere


class ScratchPlaces:
    """Says where each job's files are. A job goes to the disk, and never back, when its song is
    longer than it claimed or the faster place is full."""

    def __init__(self, folders: Folders) -> None:
        self._disk, self._fast = folders.scratch, folders.fast

    def of(self, job_id: str) -> Path:
        """The folder of a job's scratch files."""
        if self._fast is not None and (self._fast / job_id).is_dir():
            return self._fast / job_id
        return self._disk / job_id

    def open(self, job_id: str, seconds: float, files: int = FILES) -> None:
        """Chooses a place before anything is decoded. seconds: what the song claims, or 0; files:
        as long as it, that the job has at once.

        What earlier attempts left is removed: after the machine's crash it cannot be trusted.
        """
        self.clear(job_id)
        if self._fast is None:
            return
        if (self._disk / job_id / STAYS).exists():
            return
        frames = math.ceil((seconds + 1) * SAMPLE_RATE)  # a claim may be rounded
        try:
            if seconds > 0 and self._fits(frames * files):
                (self._fast / job_id).mkdir(mode=0o700)
                _book(self._fast / job_id, frames * files)
        except OSError:  # the place is gone: there is always the disk
            shutil.rmtree(self._fast / job_id, ignore_errors=True)

    def clear(self, job_id: str) -> None:
        """Removes what was decoded and made of it; the input stays."""
        for file in (self._disk / job_id).glob("*.f32*"):
            file.unlink(missing_ok=True)
        if self._fast is not None:
            shutil.rmtree(self._fast / job_id, ignore_errors=True)

    def is_short(self, job_id: str) -> bool:
        """Whether the job lies in the faster place, and that is fuller than the disk. What a full
        disk is said of may be either: tracks are written to the disk."""
        if self._fast is None or self.of(job_id).parent != self._fast:
            return False
        return shutil.disk_usage(self._fast).free < shutil.disk_usage(self._disk).free

    def start_over(self, job_id: str) -> None:
        """As `clear`, for a job that found no room: if the faster place had none, it stays on the
        disk from then on.

        Raises OSError: the disk is so full that this cannot be kept. All is cleared then, too.
        """
        elsewhere = self.is_short(job_id)
        self.clear(job_id)
        if elsewhere:
            (self._disk / job_id / STAYS).touch()

    def settle(self, job_id: str, frames: int, files: int = FILES) -> None:
        """The song is decoded, and `frames` long. Raises OSError, if it goes to a disk that is
        full."""
        folder = self.of(job_id)
        if folder.parent == self._disk:
            return
        if FRAME_BYTES * frames * files <= (folder / ROOM).stat().st_size:
            _book(folder, frames * files)
        else:
            self.to_disk(job_id)

    def to_disk(self, job_id: str) -> None:
        """Copies what is finished to the disk, if it lies elsewhere.

        Raises OSError: there is no room for it either. It stays where it is, and nothing here.
        """
        folder = self.of(job_id)
        if folder.parent == self._disk:
            return
        copies = [(file, self._disk / job_id / file.name) for file in folder.glob("*.f32")]
        try:
            for file, copy in copies:
                shutil.copyfile(file, copy)
            (self._disk / job_id / STAYS).touch()
        except OSError:
            for _, copy in copies:
                copy.unlink(missing_ok=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def keep_mix(self, job_id: str) -> None:
        """All that a completed job's late stages read."""
        folder = self.of(job_id)
        for file in list(folder.glob("*.f32*")):
            if file.name != "mix.f32":
                file.unlink(missing_ok=True)
        if folder.parent == self._fast:
            os.truncate(folder / ROOM, 0)

    def remove(self, job_id: str) -> None:
        """Removes a job's scratch files, and the input with them."""
        if self._fast is not None:
            shutil.rmtree(self._fast / job_id, ignore_errors=True)
        shutil.rmtree(self._disk / job_id, ignore_errors=True)

    def _fits(self, frames: int) -> bool:
        """Whether there is room beside what the others will still write."""
        assert self._fast is not None
        usage = shutil.disk_usage(self._fast)
        others = sum(_missing(folder) for folder in self._fast.iterdir())
        return FRAME_BYTES * frames + others <= usage.free - SPARE * usage.total


def _book(folder: Path, frames: int) -> None:
    (folder / ROOM).touch()
    os.truncate(folder / ROOM, FRAME_BYTES * frames)  # sparse: takes no room itself


def _missing(folder: Path) -> int:
    """Bytes that a job may still write."""
    try:
        done = written(file for file in folder.iterdir() if file.name != ROOM)
        return max(0, (folder / ROOM).stat().st_size - done)
    except FileNotFoundError:  # a job that has just ended
        return 0
