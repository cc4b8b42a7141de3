"""Attempts at stages: who may try which, and how that ends. Every end is fenced by a lease.

Methods are coroutines on a `Database`; each is one transaction. Times are unix seconds and come
from the caller.
"""

import json
import math
import sqlite3
from typing import Any, NamedTuple

from msgspec import structs

from store.connection import Database
from store.credits import Entry, book
from store.records import Claim, Ended, Stage, Track, read_job
from store.statements import load

SQL = load("stages")
MAX_ORPHANED = 10
LATE_SECONDS = 5.0  # that the news of a completed job waits for its late stages: they are in it
FETCH = "fetch"  # the pool of what comes before a job's own work: it does not start the job


class LeaseLost(Exception):
    """The stage was taken back meanwhile: what this attempt made counts for nothing."""


class Recovered(NamedTuple):
    """How many stages an earlier boot held, and the jobs that were given up."""

    stages: int
    failed: list[str]


class StageRepository:
    """The stages of one database's jobs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def claim(
        self, pool: str, lease: str, now: float, before: float = math.inf,
        decode: str | None = None,
    ) -> Claim | None:  # fmt: skip
        """Takes the stage that is due first of those ready for this pool, or None.

        before: only one that is due earlier than that. decode: the only job that may be decoded
        now, "" for none; None for all.
        """
        return await self._db.write(_claim, pool, lease, now, before, decode)

    async def finish(
        self, stage: Stage, facts: dict[str, Any], tracks: dict[str, Track], now: float
    ) -> Ended:
        """Completes a claimed stage, and with the last one the job.

        Raises:
            LeaseLost: the stage is no longer this claim's; nothing was changed.
        """
        return await self._db.write(_finish, stage, facts, tracks, now)

    async def release(self, stage: Stage, error: str | None, charge: bool) -> None:
        """Puts a claimed stage back into the queue. Raises LeaseLost."""
        await self._db.write(_release, stage, error, charge)

    async def put_back(self, leases: str) -> None:
        """At a stop: puts all stages back whose lease begins so, uncharged. Also one whose claim
        was answered to nobody any more."""
        await self._db.write(_put_back, leases)

    async def fail(self, stage: Stage, error: str, now: float) -> bool:
        """Fails a claimed stage for good, and its job unless the stage is late.

        True when nothing of the job is left to do. Raises LeaseLost.
        """
        return await self._db.write(_fail, stage, error, now)

    async def settle(
        self, stage: Stage, request: str, seconds: int | None, now: float
    ) -> Ended:
        """Completes the stage that found out what a job costs, and holds the credits, if any.

        Raises:
            LeaseLost, InsufficientCredits: nothing was changed.
        """
        return await self._db.write(_settle, stage, request, seconds, now)

    async def set_request(self, job_id: str, request: str) -> None:
        """Keeps what is known of a job's source before its length is."""
        await self._db.write(_set_request, job_id, request)

    async def set_progress(self, job_id: str, percent: int) -> None:
        """Raises a running job's progress; it never goes down."""
        await self._db.write(_set_progress, job_id, percent)

    async def recover(self, boot: str, machine_boot: str, now: float) -> Recovered:
        """At the start: takes back what an earlier boot of the server held.

        A stage that was running at MAX_ORPHANED sudden ends of the server is given up.
        `machine_boot` names the boot of the machine: after a new one, unfinished jobs start
        from their inputs, since scratch files are not synced.
        """
        return await self._db.write(_recover, boot, machine_boot, now)


def _claim(
    db: sqlite3.Connection, pool: str, lease: str, now: float, before: float, decode: str | None
) -> Claim | None:
    values = {"pool": pool, "lease": lease, "now": now, "before": before, "decode": decode}
    rows = db.execute(SQL["claim"], values).fetchall()
    if not rows:
        return None
    row = dict(rows[0])
    due = row.pop("due")
    stage = Stage(**row)
    if pool != FETCH:
        db.execute(SQL["job_started"], {"job_id": stage.job_id, "now": now})
    job = read_job(db, stage.job_id)
    assert job is not None
    facts: dict[str, Any] = {}
    for found in db.execute(SQL["facts_so_far"], {"job_id": stage.job_id}):
        facts |= json.loads(found["facts"])
    return Claim(job, stage, facts, due)


def fenced(db: sqlite3.Connection, name: str, stage: Stage, values: dict[str, Any]) -> None:
    key = {"job_id": stage.job_id, "name": stage.name, "lease": stage.lease}
    if db.execute(SQL[name], key | values).rowcount != 1:
        raise LeaseLost(f"{stage.name} of {stage.job_id}")


def _finish(
    db: sqlite3.Connection,
    stage: Stage,
    facts: dict[str, Any],
    tracks: dict[str, Track],
    now: float,
) -> Ended:
    fenced(db, "finish_stage", stage, {"now": now, "facts": json.dumps(facts)})
    for name, track in tracks.items():
        values = {"job_id": stage.job_id, "name": name}
        db.execute(SQL["upsert_track"], values | structs.asdict(track))
    completed = db.execute(SQL["finish_job"], {"job_id": stage.job_id, "now": now}).rowcount == 1
    over = _is_over(db, stage.job_id)
    if completed and not over:
        _tell(db, stage.job_id, now + LATE_SECONDS)
    elif stage.late:
        _tell(db, stage.job_id, now)
    return Ended(completed, over)


def _settle(
    db: sqlite3.Connection, stage: Stage, request: str, seconds: int | None, now: float
) -> Ended:
    ended = _finish(db, stage, {}, {}, now)
    _set_request(db, stage.job_id, request)
    job = read_job(db, stage.job_id)
    if seconds is not None and job is not None and job.account_id is not None:
        book(db, Entry(job.account_id, "hold", seconds, now, job.id))
    return ended


def _set_request(db: sqlite3.Connection, job_id: str, request: str) -> None:
    db.execute(SQL["set_request"], {"id": job_id, "request": request})


def _release(db: sqlite3.Connection, stage: Stage, error: str | None, charge: bool) -> None:
    fenced(db, "release_stage", stage, {"error": error, "charge": int(charge)})


def _put_back(db: sqlite3.Connection, leases: str) -> None:
    db.execute(SQL["put_back"], {"leases": leases})


def _fail(db: sqlite3.Connection, stage: Stage, error: str, now: float) -> bool:
    fenced(db, "fail_stage", stage, {"now": now, "error": error})
    if stage.late:
        _tell(db, stage.job_id, now)
        return _is_over(db, stage.job_id)
    db.execute(SQL["stop_siblings"], {"job_id": stage.job_id, "now": now})
    db.execute(SQL["fail_job"], {"job_id": stage.job_id, "now": now, "error": error})
    db.execute(SQL["stop_late"], {"job_id": stage.job_id, "now": now})
    return True


def _tell(db: sqlite3.Connection, job_id: str, at: float) -> None:
    """Who waits to hear of a completed job, hears of it then."""
    db.execute(SQL["tell"], {"job_id": job_id, "at": at})


def _is_over(db: sqlite3.Connection, job_id: str) -> bool:
    return bool(db.execute(SQL["is_over"], {"job_id": job_id}).fetchone()[0])


def _recover(db: sqlite3.Connection, boot: str, machine_boot: str, now: float) -> Recovered:
    released = db.execute(SQL["release_orphans"], {"boot": boot}).rowcount
    sentence = f"Processing was cut off {MAX_ORPHANED} times and was given up"
    values = {"limit": MAX_ORPHANED, "now": now, "error": sentence}
    db.execute(SQL["fail_deadly_stages"], values)
    failed = [row["id"] for row in db.execute(SQL["fail_deadly_jobs"], values)]
    row = db.execute(SQL["get_fact"], {"name": "machine_boot"}).fetchone()
    if row is not None and row["value"] != machine_boot:
        db.execute(SQL["forget_unfinished_tracks"])
        released = db.execute(SQL["rewind_unfinished"]).rowcount
        db.execute(SQL["drop_late_stages"], {"now": now})
    db.execute(SQL["set_fact"], {"name": "machine_boot", "value": machine_boot})
    return Recovered(released, failed)


def _set_progress(db: sqlite3.Connection, job_id: str, percent: int) -> None:
    db.execute(SQL["set_progress"], {"job_id": job_id, "percent": percent})
