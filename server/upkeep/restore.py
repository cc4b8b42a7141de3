"""Makes a data directory from a backup: all of it, or nothing that a server would start on."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from server.errors import StemboxError
from server.jobs.disk.database import DATABASE
from server.jobs.disk.folders import CANNOT_LOCK, IN_USE, RESTORING, Folders, full_disk_is_said
from server.upkeep.archive import unpack
from server.upkeep.audit import missing_files
from server.upkeep.backup import SECRETS
from server.upkeep.reporting import Meter, Report
from server.work.durable import sync_folder
from store.audit import Finding, check_database, expected_files
from store.copying import DAMAGED, opened_copy
from store.restoring import Settled, settle

PLACES: Final = ("outputs", "scratch", "uploads")
ALLOWED: Final = re.compile(
    rf"{re.escape(DATABASE)}|{'|'.join(SECRETS)}|outputs/[^/]+/.+|scratch/[^/]+/input|uploads/[^/]+"
).fullmatch


class Restored(NamedTuple):
    """What was restored: as of when, what became of jobs whose files are missing, and which
    promises the backup itself did not keep."""

    created_at: float
    settled: Settled
    findings: list[Finding]


def restore(source: Path, data_dir: Path, report: Report) -> Restored:
    """Restores a backup into a data directory that holds none yet.

    Cut off at any time, it leaves a directory that no server starts on, and can be given again.

    Raises:
        StemboxError: the backup is none or damaged, or there is something already.
        OSError, DiskFull.
    """
    os.umask(0o077)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(data_dir), full_disk_is_said(), open(source, "rb") as file:
        staged = _stage(data_dir)
        try:
            meter = Meter("restore", source.stat().st_size, report)
            manifest = unpack(file, staged, lambda name: ALLOWED(name) is not None, meter.add)
            settled, findings = _settle(staged, manifest.files.keys() >= {DATABASE, *SECRETS})
        except BaseException:
            shutil.rmtree(staged)
            sync_folder(data_dir)
            raise
        _move_in(staged, data_dir)
        meter.end()
    return Restored(manifest.created_at, settled, findings)


@contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    with open(data_dir / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Folders(data_dir).check()
            raise StemboxError(f"{data_dir} {IN_USE}") from None
        except OSError as error:
            raise StemboxError(f"{data_dir} {CANNOT_LOCK}: {error.strerror}") from None
        yield


def _stage(data_dir: Path) -> Path:
    """An empty folder for what is unpacked; while it is there, no server starts."""
    staged = data_dir / RESTORING
    if staged.exists():  # an earlier restore was cut off: whatever is here is its own
        for name in (DATABASE, *SECRETS):
            (data_dir / name).unlink(missing_ok=True)
        for name in (*PLACES, RESTORING):
            shutil.rmtree(data_dir / name, ignore_errors=True)
    for name in (DATABASE, f"{DATABASE}-wal", *SECRETS):
        if (data_dir / name).exists():
            raise StemboxError(f"{data_dir} holds a {name} already: restore into an empty folder")
    for name in PLACES:
        if (data_dir / name).exists() and any((data_dir / name).iterdir()):
            raise StemboxError(f"{data_dir / name} is not empty: restore into an empty folder")
    staged.mkdir(mode=0o700)
    sync_folder(data_dir)
    return staged


def _settle(staged: Path, complete: bool) -> tuple[Settled, list[Finding]]:
    """Checks the database, and ends jobs whose files the backup does not hold."""
    if not complete:
        raise StemboxError("the backup is damaged: it has no database or no secret")
    now = time.time()
    Folders(staged).create()
    try:
        with opened_copy(staged / DATABASE) as database:
            findings = check_database(database, now)
            if any(finding.promise == "database_is_whole" for finding in findings):
                raise StemboxError(f"the backup's database is damaged: {findings[0].detail}")
            missing = missing_files(staged, expected_files(database, now))
            settled = settle(database, missing, now)
    except (*DAMAGED, RuntimeError) as error:
        raise StemboxError(f"the backup's database cannot be used: {error}") from None
    for job_id in settled.expired:
        shutil.rmtree(staged / "outputs" / job_id, ignore_errors=True)
    return settled, findings


def _move_in(staged: Path, data_dir: Path) -> None:
    """By renames, the database last."""
    for folder, _, _ in os.walk(staged):
        sync_folder(Path(folder))
    for name in (*PLACES, *SECRETS, DATABASE):
        if name in PLACES and (data_dir / name).exists():
            (data_dir / name).rmdir()
        os.rename(staged / name, data_dir / name)
    sync_folder(data_dir)
    shutil.rmtree(staged)
    sync_folder(data_dir)
