"""`stembox backup`, `restore` and `audit`."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.arguments import Commands
from server.commands.bar import Bar
from server.config import Config

if TYPE_CHECKING:
    from server.upkeep.restore import Restored


def declare(commands: Commands) -> None:
    """Adds the commands of this module."""
    sub = commands.add("backup", backup,
                       "keep database and secret in a file, while the server runs")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("--outputs", action="store_true", help="and all files of jobs, and uploads")
    sub = commands.add("restore", restore, "make an empty data directory from a backup")
    sub.add_argument("file", type=Path, metavar="FILE")
    commands.add("audit", audit, "hold ledger, jobs, deliveries and files against their promises")


def backup(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox backup FILE`."""
    from server.admin.asking import snapshot
    from server.jobs.disk.folders import Folders
    from server.upkeep.backup import back_up, check_target

    check_target(arguments.file, Folders(config.data_dir, config.scratch_dir))
    taken_at = time.time()
    with Bar("backup") as bar, snapshot(config.data_dir) as copy:
        manifest = back_up(config.data_dir, copy, taken_at, arguments.file, arguments.outputs, bar)
    size = sum(stored.size for stored in manifest.files.values())
    print(f"{arguments.file}: {len(manifest.files)} file(s), {size / 1e6:.1f} MB")
    return 0


def restore(arguments: argparse.Namespace, config: Config) -> int:
    """`stembox restore FILE`."""
    from server.upkeep.restore import restore as unpack_backup

    with Bar("restore") as bar:
        restored = unpack_backup(arguments.file, config.data_dir, bar)
    print(told(restored, config.data_dir))
    return 0


def audit(_: argparse.Namespace, config: Config) -> int:
    """`stembox audit`: exits with 1 where a promise is broken."""
    from server.upkeep.looking import findings

    with Bar("audit") as bar:
        found = findings(config.data_dir, bar)
    for finding in found:
        print(finding)
    print(f"{len(found)} finding(s)" if found else "all promises hold", file=sys.stderr)
    return 1 if found else 0


def told(restored: "Restored", data_dir: Path) -> str:
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
