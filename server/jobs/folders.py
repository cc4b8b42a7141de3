"""Where a job's files lie below the data directory. The only place that knows."""

import os
import shutil
from pathlib import Path

from server.scratch import PART


class Folders:
    """spool: uploads on their way in · scratch: running jobs · outputs: finished tracks.

    All three are on one file system, so a folder moves from spool to scratch by a rename.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.spool = data_dir / "spool"
        self.scratch = data_dir / "scratch"
        self.outputs = data_dir / "outputs"

    def create(self) -> None:
        """Makes what is missing, for this user alone."""
        for folder in (self.data_dir, self.spool, self.scratch, self.outputs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def accept(self, job_id: str) -> None:
        """Makes a complete upload the job's own; synced, so it outlives a power cut."""
        os.rename(self.spool / job_id, self.scratch / job_id)
        (self.outputs / job_id).mkdir(mode=0o700, exist_ok=True)
        for folder in (self.scratch / job_id, self.scratch, self.outputs):
            sync_folder(folder)

    def remove(self, folder: Path, job_id: str) -> None:
        """Removes one job's folder below one of the three; what is gone already is fine."""
        shutil.rmtree(folder / job_id, ignore_errors=True)

    def remove_parts(self, job_id: str) -> None:
        """Removes what attempts that died have left half-written among a job's outputs."""
        for part in (self.outputs / job_id).rglob(f"*{PART}"):
            part.unlink(missing_ok=True)

    def leftovers(self, folder: Path) -> set[str]:
        """Names of the jobs that have something below a folder."""
        return set(os.listdir(folder))

    def free_percent(self) -> float:
        """Share of the data directory's disk that is free."""
        usage = shutil.disk_usage(self.data_dir)
        return 100 * usage.free / usage.total


def sync_folder(folder: Path) -> None:
    """Makes renames within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


