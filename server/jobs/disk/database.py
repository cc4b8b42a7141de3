"""Whether the database of a data directory can be used, before anything opens or makes one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from server.errors import ConfigError
from server.jobs.disk.folders import Folders
from store.migrations import schema_of

DATABASE: Final = "stembox.db"
LEAST_FREE: Final = 1 << 20  # bytes of a disk that is not full


def check_database(folders: Folders) -> None:
    """Raises ConfigError where the database is a newer stembox's, cannot be written, or is gone
    from beside its files: the first sweep would remove them all, being nobody's."""
    database = folders.data_dir / DATABASE
    try:
        known = database.exists() and _has_schema(database)
    except (RuntimeError, sqlite3.Error) as error:
        full = shutil.disk_usage(folders.data_dir).free < LEAST_FREE
        reason = f"its disk is full ({error})" if full else error
        raise ConfigError(f"{database}: {reason}") from None
    if not known and (kept := [folder.name for folder in folders.owned if _holds(folder)]):
        raise ConfigError(
            f"{database} is not there, or empty, but files that belong to it are, in "
            f"{' and '.join(kept)}: put it back, or restore a backup into another folder; to begin "
            "anew, empty these"
        )


def _holds(folder: Path) -> bool:
    """Whether a job's or an upload's file lies there, beside what file systems put into folders."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return any(not name.startswith(".") and name != "lost+found" for name in names)


def _has_schema(database: Path) -> bool:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        schema = schema_of(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    return schema > 0
