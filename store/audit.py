"""The promises that a database keeps, each as a query that finds what breaks it. Changes nothing.

Works on a plain connection: to a copy, as a rule.
"""

import sqlite3
from contextlib import closing
from typing import NamedTuple

from store.copying import DAMAGED
from store.migrations import migrate
from store.records import Track
from store.statements import load
from store.uploads import KEPT_SECONDS

SQL = load("audit")
PROMISES = (
    "ledger_adds_up", "ledger_is_numbered", "ends_have_their_hold", "refunds_have_their_capture",
    "holds_end_once", "credits_follow_the_job", "known_jobs_are_held", "owners_pay",
    "completed_jobs_are_paid", "test_jobs_cost_nothing", "ended_jobs_say_when",
    "jobs_follow_their_stages", "running_jobs_can_end", "stages_have_their_place", "needs_exist",
    "lists_are_counted", "completed_jobs_have_tracks", "events_tell_the_truth",
    "callbacks_have_their_event", "waiting_deliveries_will_go",
)  # fmt: skip


class Finding(NamedTuple):
    """One promise that is not kept: which, by whom, how. Ordered and comparable."""

    promise: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.subject}: {self.detail}"


class KeptUpload(NamedTuple):
    """An upload that came, and of which jobs may still be made. `sha256` in hex, or None."""

    key: str
    size: int
    sha256: str | None


class Expected(NamedTuple):
    """The files that a database counts on: tracks of jobs by their ids, jobs with an input,
    uploads; and what may lie there: jobs with outputs, jobs with scratch files, upload keys."""

    tracks: list[tuple[str, Track]]
    inputs: list[str]
    uploads: list[KeptUpload]
    live: set[str]
    unfinished: set[str]
    keys: set[str]


def check_database(db: sqlite3.Connection, now: float) -> list[Finding]:
    """What of the promises is broken: of the file itself, then of what it says."""
    try:
        return _damage(db) or _broken(db, now)  # what a damaged file says is worth nothing
    except DAMAGED as error:
        return [Finding("database_is_whole", "database", str(error))]


def _damage(db: sqlite3.Connection) -> list[Finding]:
    return [
        Finding("database_is_whole", "database", row[0])
        for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"
    ]  # fmt: skip


def _broken(db: sqlite3.Connection, now: float) -> list[Finding]:
    broken = _check_schema(db)
    for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check"):
        broken.append(Finding("references_exist", f"{table} {rowid}", f"no such {parent}"))
    for promise in PROMISES:
        for row in db.execute(SQL[promise], {"now": now}):
            broken.append(Finding(promise, row["subject"], row["detail"]))
    return broken


def _check_schema(db: sqlite3.Connection) -> list[Finding]:
    """Against one that is made anew: without its triggers a ledger is a table like any other."""

    def parts(connection: sqlite3.Connection) -> dict[str, str]:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL")
        return {f"{kind} {name}": sql for kind, name, sql in rows}

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as anew:
        migrate(anew)
        wanted, found = parts(anew), parts(db)
    return [
        Finding("schema_is_ours", name, "missing" if name in wanted else "of nobody")
        if (name in wanted) != (name in found) else Finding("schema_is_ours", name, "changed")
        for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)
    ]  # fmt: skip


def expected_files(db: sqlite3.Connection, now: float) -> Expected:
    """The files that must be there, and those that may."""

    def column(name: str) -> list[str]:
        return [row[0] for row in db.execute(SQL[name])]

    tracks = [
        (row["job_id"], Track(row["path"], row["size"], row["crc"]))
        for row in db.execute(SQL["select_kept_tracks"])
    ]
    since = {"expired": now - KEPT_SECONDS}
    uploads = [KeptUpload(*row) for row in db.execute(SQL["select_kept_uploads"], since)]
    return Expected(
        tracks, column("select_kept_inputs"), uploads, set(column("select_live_jobs")),
        set(column("select_unfinished_jobs")), set(column("select_upload_keys")),
    )  # fmt: skip
