"""Jobs, stages and tracks: every change is one transaction, every finish is fenced by its lease.

Methods are coroutines on a `Database`. Times are unix seconds and come from the caller.
"""

import json
import sqlite3
from typing import Any

from msgspec import Struct

from store.connection import Database
from store.statements import load

SQL = load("jobs")
MAX_ORPHANED = 10


class LeaseLost(Exception):
    """The stage was taken back meanwhile: what this attempt made counts for nothing."""


class StagePlan(Struct, frozen=True):
    """One stage of a new job: its pool and the stages whose results it needs."""

    name: str
    pool: str
    needs: tuple[str, ...] = ()


class Stage(Struct, frozen=True):
    """One row of `stages`. `facts` is JSON."""

    job_id: str
    name: str
    pool: str
    state: str
    attempt: int
    lease: str | None
    started_at: float | None
    completed_at: float | None
    error: str | None
    facts: str


class Job(Struct, frozen=True):
    """A job with its stages in order and its tracks by name. `options` is JSON."""

    id: str
    api: str
    state: str
    options: str
    created_at: float
    completed_at: float | None
    error: str | None
    stages: list[Stage]
    tracks: dict[str, str]


class Claim(Struct, frozen=True):
    """A stage that was claimed, with its job and what the job's finished stages found out."""

    job: Job
    stage: Stage
    facts: dict[str, Any]


class JobRepository:
    """Jobs of one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(
        self, job_id: str, api: str, options: str, plan: tuple[StagePlan, ...], now: float
    ) -> Job:
        """Stores a new job with its stages, all pending."""
        return await self._db.write(_create, job_id, api, options, plan, now)

    async def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return await self._db.read(_get, job_id)

    async def count_unfinished(self) -> int:
        """How many jobs are queued or running."""
        return await self._db.read(_scalar, "count_unfinished")

    async def claim(self, pool: str, lease: str, now: float) -> Claim | None:
        """Takes the next stage that is ready for this pool, or None."""
        return await self._db.write(_claim, pool, lease, now)

    async def finish(
        self, stage: Stage, facts: dict[str, Any], tracks: dict[str, str], now: float
    ) -> bool:
        """Completes a claimed stage; True when this completed the job.

        Raises:
            LeaseLost: the stage is no longer this claim's; nothing was changed.
        """
        return await self._db.write(_finish, stage, facts, tracks, now)

    async def release(self, stage: Stage, error: str | None, charge: bool) -> None:
        """Puts a claimed stage back into the queue. Raises LeaseLost."""
        await self._db.write(_release, stage, error, charge)

    async def fail(self, stage: Stage, error: str, now: float) -> None:
        """Fails a claimed stage and its job for good. Raises LeaseLost."""
        await self._db.write(_fail, stage, error, now)

    async def recover(self, boot: str, machine_boot: str, now: float) -> int:
        """At the start: takes back what an earlier boot of the server held.

        A stage that was running at MAX_ORPHANED sudden ends of the server is given up.
        `machine_boot` names the boot of the machine: after a new one, unfinished jobs start
        from their inputs, since scratch files are not synced. Returns the number of stages.
        """
        return await self._db.write(_recover, boot, machine_boot, now)

    async def due(self, before: float) -> list[str]:
        """Jobs that ended before this time and are not expired yet."""
        rows = await self._db.read(_all, "select_due", {"before": before})
        return [row["id"] for row in rows]

    async def expire(self, before: float) -> None:
        """Marks the due jobs as expired."""
        await self._db.write(_all, "expire", {"before": before})

    async def forget(self, before: float) -> None:
        """Deletes the rows of expired pipeline jobs, once their files are gone."""
        await self._db.write(_all, "forget_expired", {"before": before})

    async def live_ids(self) -> set[str]:
        """Jobs whose outputs must stay on disk."""
        return {row["id"] for row in await self._db.read(_all, "select_live_ids", {})}

    async def unfinished_ids(self) -> set[str]:
        """Jobs whose scratch must stay on disk."""
        return {row["id"] for row in await self._db.read(_all, "select_unfinished_ids", {})}


def _all(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> list[sqlite3.Row]:
    return db.execute(SQL[name], values).fetchall()


def _scalar(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(SQL[name]).fetchone()[0]
    return value


def _stage(row: sqlite3.Row) -> Stage:
    return Stage(**{key: row[key] for key in row.keys()})  # noqa: SIM118 - a Row is no dict


def _get(db: sqlite3.Connection, job_id: str) -> Job | None:
    row = db.execute(SQL["select_job"], {"id": job_id}).fetchone()
    if row is None:
        return None
    stages = [_stage(found) for found in _all(db, "select_stages", {"id": job_id})]
    tracks = {found["name"]: found["path"] for found in _all(db, "select_tracks", {"id": job_id})}
    return Job(**{key: row[key] for key in row.keys()}, stages=stages, tracks=tracks)  # noqa: SIM118


def _create(
    db: sqlite3.Connection,
    job_id: str,
    api: str,
    options: str,
    plan: tuple[StagePlan, ...],
    now: float,
) -> Job:
    db.execute(SQL["insert_job"], {"id": job_id, "api": api, "options": options, "now": now})
    for position, stage in enumerate(plan):
        values = {"job_id": job_id, "name": stage.name, "position": position, "pool": stage.pool}
        db.execute(SQL["insert_stage"], values)
        for needs in stage.needs:
            values = {"job_id": job_id, "stage": stage.name, "needs": needs}
            db.execute(SQL["insert_need"], values)
    job = _get(db, job_id)
    assert job is not None
    return job


def _claim(db: sqlite3.Connection, pool: str, lease: str, now: float) -> Claim | None:
    rows = _all(db, "claim", {"pool": pool, "lease": lease, "now": now})
    if not rows:
        return None
    stage = _stage(rows[0])
    job = _get(db, stage.job_id)
    assert job is not None
    facts: dict[str, Any] = {}
    for row in _all(db, "facts_so_far", {"job_id": stage.job_id}):
        facts |= json.loads(row["facts"])
    return Claim(job, stage, facts)


def _fenced(db: sqlite3.Connection, name: str, stage: Stage, values: dict[str, Any]) -> None:
    key = {"job_id": stage.job_id, "name": stage.name, "lease": stage.lease}
    if db.execute(SQL[name], key | values).rowcount != 1:
        raise LeaseLost(f"{stage.name} of {stage.job_id}")


def _finish(
    db: sqlite3.Connection,
    stage: Stage,
    facts: dict[str, Any],
    tracks: dict[str, str],
    now: float,
) -> bool:
    _fenced(db, "finish_stage", stage, {"now": now, "facts": json.dumps(facts)})
    for name, path in tracks.items():
        db.execute(SQL["upsert_track"], {"job_id": stage.job_id, "name": name, "path": path})
    return db.execute(SQL["finish_job"], {"job_id": stage.job_id, "now": now}).rowcount == 1


def _release(db: sqlite3.Connection, stage: Stage, error: str | None, charge: bool) -> None:
    _fenced(db, "release_stage", stage, {"error": error, "charge": int(charge)})


def _fail(db: sqlite3.Connection, stage: Stage, error: str, now: float) -> None:
    _fenced(db, "fail_stage", stage, {"now": now, "error": error})
    db.execute(SQL["stop_siblings"], {"job_id": stage.job_id, "now": now})
    db.execute(SQL["fail_job"], {"job_id": stage.job_id, "now": now, "error": error})


def _recover(db: sqlite3.Connection, boot: str, machine_boot: str, now: float) -> int:
    released = db.execute(SQL["release_orphans"], {"boot": boot}).rowcount
    sentence = f"Processing was cut off {MAX_ORPHANED} times and was given up"
    values = {"limit": MAX_ORPHANED, "now": now, "error": sentence}
    for name in ("fail_deadly_stages", "fail_deadly_jobs"):
        db.execute(SQL[name], values)
    row = db.execute(SQL["get_fact"], {"name": "machine_boot"}).fetchone()
    if row is not None and row["value"] != machine_boot:
        db.execute(SQL["forget_unfinished_tracks"])
        released = db.execute(SQL["rewind_unfinished"]).rowcount
    db.execute(SQL["set_fact"], {"name": "machine_boot", "value": machine_boot})
    return released
