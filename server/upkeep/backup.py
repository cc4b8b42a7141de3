"""Makes a backup: the database as it is at one moment, the server's secret, and what jobs hold."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from server import __version__
from server.admin import once, snapshots
from server.errors import StemboxError
from server.jobs.disk.database import DATABASE
from server.jobs.disk.folders import Folders, files_below, full_disk_is_said, read_secret
from server.upkeep.archive import ArchiveWriter, Manifest
from server.upkeep.reporting import Meter, Report
from server.work.durable import sync_folder
from server.work.scratch import PART
from store.audit import Expected, expected_files
from store.copying import asked_copy, damage_of

BEGUN = ".stembox-backup."
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
SECRETS = ("secret",)  # what signs URLs and callbacks: files of the data directory


class Contents(Struct, frozen=True):
    """What goes into a backup: files by their names in it. Those of jobs may be gone by then."""

    needed: dict[str, Path]
    jobs: dict[str, Path]


def back_up(
    data_dir: Path, copy: Path, taken_at: float, target: Path, outputs: bool, report: Report
) -> Manifest:
    """Writes a backup of a data directory to the file `target`, which appears when it is whole.

    copy: of the database, as it was at `taken_at`. outputs: with the files of jobs, finished and
        unfinished, and uploads.

    Raises:
        StemboxError: there is such a file, another backup to it runs, or the database is damaged:
            nobody could restore that.
        OSError, DiskFull: it cannot be written.
    """
    if (damage := damage_of(copy)) is not None:
        raise StemboxError(f"the database is damaged, and nothing is written: {damage}; "
                           "keep the last good backup")  # fmt: skip
    contents = _contents(data_dir, copy, outputs)
    paths = [*contents.needed.values(), *contents.jobs.values()]
    meter = Meter("backup", sum(_size(path) for path in paths), report)
    with full_disk_is_said(), _appearing(target) as file:
        writer = ArchiveWriter(file, meter.add)
        for name, path in contents.needed.items():
            writer.add(name, path)
        for name, path in contents.jobs.items():
            with suppress(FileNotFoundError):  # its job was removed meanwhile
                writer.add(name, path)
        manifest = writer.close(__version__, taken_at, outputs)
    meter.end()
    return manifest


def check_target(target: Path, folders: Folders) -> None:
    """Raises StemboxError: a backup there would be removed as a file of nobody's."""
    data_dir, parent = folders.data_dir, target.parent.resolve()
    for folder in (*folders.swept, *(data_dir / one.FOLDER for one in (once, snapshots))):
        if parent.is_relative_to(folder.resolve()):
            raise StemboxError(f"{target} would not be kept: the server removes what it does not "
                               f"know from {folder}; name a file outside {data_dir}")  # fmt: skip


def _contents(data_dir: Path, copy: Path, outputs: bool) -> Contents:
    for name in SECRETS:  # a damaged one would be found when the backup is needed
        read_secret(data_dir / name)
    needed = {DATABASE: copy} | {name: data_dir / name for name in SECRETS}
    if not outputs:
        return Contents(needed, {})
    with asked_copy(copy) as database:  # the backup holds it as the server does
        expected = expected_files(database, time.time())
    found = _job_files(Folders(data_dir), expected)
    return Contents(needed, {str(path.relative_to(data_dir)): path for path in found})


def _job_files(folders: Folders, expected: Expected) -> list[Path]:
    """Inputs of jobs that have not ended, uploads, outputs of those that have: in this order, since
    what waits or runs ends, and loses its input, while gigabytes of outputs are written."""
    ended = {job_id for job_id, _ in expected.tracks}
    made = [
        path for job_id in sorted(ended) for path in sorted(files_below(folders.outputs / job_id))
        if path.is_file() and not path.name.endswith(PART)
    ]  # fmt: skip
    inputs = [folders.scratch / job_id / "input" for job_id in sorted(expected.inputs)]
    uploads = [folders.uploads / upload.key.split("/")[2] for upload in expected.uploads]
    return [*(path for path in (*inputs, *uploads) if path.is_file()), *made]


@contextmanager
def _appearing(target: Path) -> Iterator[BinaryIO]:
    """A new file that gets its name, and stays, when all of it has been written and synced."""
    if target.exists():
        raise StemboxError(f"{target} exists already")
    _sweep(target.absolute().parent)
    part = target.with_name(f"{BEGUN}{target.name}{PART}")
    with _begun(part, target) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _give_name(part, target)
        except BlockingIOError:  # another one took it for a leftover
            raise _runs(target) from None
        finally:
            part.unlink(missing_ok=True)
    sync_folder(target.absolute().parent)


def _begun(part: Path, target: Path) -> BinaryIO:
    """The new file that a backup grows in. Others may write to the folder too: what they
    have put there by this name, were it a link to a file of ours, is not used."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return open(os.open(part, flags, 0o600), "r+b")
    except FileExistsError:
        with suppress(FileNotFoundError):
            if not _is_ours(os.lstat(part)):
                raise StemboxError(f"{part} is in the way, and not ours: remove it") from None
        raise _runs(target) from None


def _runs(target: Path) -> StemboxError:
    return StemboxError(f"another backup to {target} runs")


def _is_ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _give_name(part: Path, target: Path) -> None:
    """By a link, which overwrites nothing; by a rename where the file system has no links."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise StemboxError(f"{target} exists already") from None
    except OSError as error:
        if error.errno not in NO_LINKS or target.exists():
            raise
        os.rename(part, target)


def _sweep(folder: Path) -> None:
    """Removes what backups of this user that were killed have left in a folder."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # no waiting for somebody's pipe
    for left in folder.glob(f"{BEGUN}*{PART}"):
        with suppress(OSError), open(os.open(left, flags), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails: it is being written
            if _is_ours(os.fstat(file.fileno())):
                left.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
