"""Looks at a data directory: what of its promises does not hold."""

import time
from pathlib import Path

from server.admin.asking import snapshot
from server.errors import ConfigError
from server.jobs.disk.database import DATABASE
from server.jobs.disk.folders import full_disk_is_said
from server.upkeep.audit import check_files
from server.upkeep.reporting import Report
from store.audit import Finding, check_database, expected_files
from store.copying import DAMAGED, opened_copy

AGAIN_SECONDS = 2.0  # between two looks


def findings(data_dir: Path, report: Report) -> list[Finding]:
    """What two looks have found: what was only under way at the first has its end by then."""
    found = look(data_dir, report)
    if not found:
        return []
    time.sleep(AGAIN_SECONDS)
    again = set(look(data_dir, report))
    return [finding for finding in found if finding in again]


def look(data_dir: Path, report: Report) -> list[Finding]:
    """One look at database and files."""
    now = time.time()
    with snapshot(data_dir) as copy:
        try:
            with full_disk_is_said(), opened_copy(copy) as database:
                found = check_database(database, now)
                whole = all(finding.promise != "database_is_whole" for finding in found)
                expected = expected_files(database, now) if whole else None
        except RuntimeError as error:
            raise ConfigError(f"{data_dir / DATABASE}: {error}") from None
        except DAMAGED as error:  # before anything could be asked of it
            found, expected = [Finding("database_is_whole", "database", str(error))], None
    return found if expected is None else found + check_files(data_dir, expected, report)
