"""Copies of the database at one moment, made by whoever holds it, for whoever asks."""

import secrets
import time
from contextlib import suppress
from pathlib import Path

from server.errors import StemboxError
from server.jobs.disk.database import DATABASE
from server.jobs.disk.folders import full_disk_is_said
from store.copying import DAMAGED, copy_database

FOLDER = "snapshots"
STALE_SECONDS = 3600.0  # whoever asked for it has died


def take_snapshot(data_dir: Path) -> Path:
    """A new copy of the data directory's database. Raises StemboxError, DiskFull."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for left in folder.iterdir():
        with suppress(FileNotFoundError):
            if abs(time.time() - left.stat().st_mtime) > STALE_SECONDS:
                left.unlink()
    copy = folder / f"{secrets.token_hex(8)}.db"
    try:
        with full_disk_is_said():
            copy_database(data_dir / DATABASE, copy)
    except DAMAGED as error:
        remove_snapshot(copy)
        raise StemboxError(f"the database cannot be copied: {error}") from None
    return copy


def remove_snapshot(copy: Path) -> None:
    """Removes a copy, with what SQLite has left beside it."""
    for path in (copy, *copy.parent.glob(f"{copy.name}-*")):
        path.unlink(missing_ok=True)
