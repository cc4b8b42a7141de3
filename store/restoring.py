"""What a restored database says of files that its backup did not hold. One transaction."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from store.statements import load

SQL = load("restore")
ERROR = "The server was restored from a backup that does not hold this job's file"


class Missing(NamedTuple):
    """Files that are not there: inputs by their jobs, tracks by job and path, uploads by key."""

    inputs: Sequence[str]
    tracks: Sequence[tuple[str, str]]
    uploads: Sequence[str]


class Settled(NamedTuple):
    """Jobs that failed and that expired, uploads that are forgotten."""

    failed: list[str]
    expired: list[str]
    uploads: list[str]


def settle(db: sqlite3.Connection, missing: Missing, now: float) -> Settled:
    """Ends jobs whose files are missing, as they would end in operation: credits and events too."""
    db.execute("BEGIN IMMEDIATE")
    settled = Settled([], [], list(missing.uploads))
    for job_id in missing.inputs:
        values = {"job_id": job_id, "now": now, "error": ERROR}
        if db.execute(SQL["give_up_job"], values).rowcount:
            settled.failed.append(job_id)
            db.execute(SQL["forget_tracks"], values)
        db.execute(SQL["give_up_stages"], values)
    for job_id, path in missing.tracks:
        values = {"job_id": job_id, "now": now, "error": ERROR}
        if db.execute(SQL["expire_job"], values).rowcount:
            settled.expired.append(job_id)
            db.execute(SQL["give_up_stages"], values)
        db.execute(SQL["forget_track"], {"job_id": job_id, "path": path})
    for key in missing.uploads:
        db.execute(SQL["forget_upload"], {"key": key})
    db.execute(SQL["another_machine"])
    db.execute("COMMIT")
    return settled
