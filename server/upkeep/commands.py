"""`stembox backup`, `restore` and `audit`, as the command line calls them."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.admin.asking import carry_out
from server.admin.messages import Snapshot
from server.commands.bar import Bar
from server.config import Config
from server.errors import ConfigError, StemboxError
from server.upkeep.audit import check_files
from server.upkeep.backup import DATABASE, back_up
from server.upkeep.reporting import Report
from server.upkeep.restore import Restored
from server.upkeep.restore import restore as unpack_backup
from server.upkeep.snapshots import remove_snapshot
from store.audit import Finding, check_database, expected_files
from store.copying import opened_copy

AGAIN_SECONDS = 2.0  # between two looks


def backup(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox backup FILE`."""
    with Bar("backup") as bar, snapshot(config.data_dir) as copy:
        manifest = back_up(config.data_dir, copy, arguments.file, arguments.outputs, bar)
    size = sum(stored.size for stored in manifest.files.values())
    print(f"{arguments.file}: {len(manifest.files)} file(s), {size / 1e6:.1f} MB")
    return 0


def restore(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox restore FILE`."""
    with Bar("restore") as bar:
        restored = unpack_backup(arguments.file, config.data_dir, bar)
    print(told(restored, config.data_dir))
    return 0


def audit(config: Config) -> int:
    """`stembox audit`: exits with 1 where a promise is broken."""
    with Bar("audit") as bar:
        found = findings(config.data_dir, bar)
    for finding in found:
        print(finding)
    print(f"{len(found)} finding(s)" if found else "all promises hold", file=sys.stderr)
    return 1 if found else 0


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
            with opened_copy(copy) as database:
                found = check_database(database, now)
                whole = all(finding.promise != "database_is_whole" for finding in found)
                expected = expected_files(database, now) if whole else None
        except RuntimeError as error:
            raise ConfigError(f"{data_dir / DATABASE}: {error}") from None
    return found if expected is None else found + check_files(data_dir, expected, report)


@contextmanager
def snapshot(data_dir: Path) -> Iterator[Path]:
    """A copy of the database, removed behind this context. Raises StemboxError."""
    if not (data_dir / DATABASE).exists():
        raise StemboxError(f"there is no database in {data_dir}")
    copy = Path(carry_out(Snapshot(), data_dir))
    try:
        yield copy
    finally:
        remove_snapshot(copy)


def told(restored: Restored, data_dir: Path) -> str:
    """What a restore has done, a line each."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(restored.created_at))
    settled = restored.settled
    lines = [f"{data_dir} is as it was at {when} UTC"]
    for jobs, fate in ((settled.failed, "failed: its source is not in the backup"),
                       (settled.expired, "expired: its tracks are not in the backup")):  # fmt: skip
        lines += [f"job {job_id} {fate}" for job_id in jobs]
    lines += [f"upload {key} is forgotten: it is not in the backup" for key in settled.uploads]
    lines += [f"the backup itself says: {finding}" for finding in restored.findings]
    return "\n".join(lines)
