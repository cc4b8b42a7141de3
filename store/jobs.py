"""Jobs, stages and tracks: every change is one transaction, every finish is fenced by its lease.

Methods are coroutines on a `Database`. Times are unix seconds and come from the caller.
"""

import json
import math
import sqlite3
from typing import Any, NamedTuple

from msgspec import Struct

from store.connection import Database
from store.credits import Entry, book
from store.statements import load

SQL = load("jobs")
MAX_ORPHANED = 10
MOST_KNOWN = 10_000  # jobs in memory, between two commits
FETCH = "fetch"  # the pool of what comes before a job's own work: it does not start the job


class LeaseLost(Exception):
    """The stage was taken back meanwhile: what this attempt made counts for nothing."""


class AnsweredBefore(Exception):
    """The account has used this Idempotency-Key before; `body_hash` and `answer` tell how."""

    def __init__(self, body_hash: str, answer: str) -> None:
        super().__init__("answered before")
        self.body_hash = body_hash
        self.answer = answer


class StagePlan(Struct, frozen=True):
    """One stage of a new job: its pool and the stages whose results it needs.

    A late stage adds to the job and does not hold it up.
    """

    name: str
    pool: str
    needs: tuple[str, ...] = ()
    late: bool = False


class IdempotencyRecord(Struct, frozen=True):
    """The answer to a request with an Idempotency-Key, kept with the job that it made.

    Answers from before `since` (unix seconds) are forgotten.
    """

    key: str
    body_hash: str
    answer: str
    since: float


class NewJob(Struct, frozen=True, kw_only=True):
    """What is stored of a job when it is accepted. `options` and `request` are JSON.

    `seconds`: credits to hold, None where they are not known yet or not asked for.
    """

    id: str
    api: str
    options: str
    plan: tuple[StagePlan, ...]
    created_at: float
    request: str = "{}"
    account_id: str | None = None
    callback_url: str | None = None
    seconds: int | None = None
    idempotency_record: IdempotencyRecord | None = None


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
    late: int


class Job(Struct, frozen=True):
    """A job with its stages in order and its tracks by name. `options` and `request` are JSON.

    `charged`: credits captured, in seconds. Stages and tracks are empty in a page of jobs.
    """

    id: str
    api: str
    state: str
    options: str
    created_at: float
    started_at: float | None
    completed_at: float | None
    expired_at: float | None
    error: str | None
    account_id: str | None
    request: str
    progress: int
    callback_url: str | None
    charged: int
    stages: list[Stage]
    tracks: dict[str, str]


class Ended(NamedTuple):
    """What the end of a stage ended with it: the job, and all that was to be done for it."""

    completed: bool
    over: bool


class Claim(Struct, frozen=True):
    """A stage that was claimed, with its job and what the job's finished stages found out.

    `due` orders the claims: unix seconds, the job's posting and the length of its song.
    """

    job: Job
    stage: Stage
    facts: dict[str, Any]
    due: float


class JobRepository:
    """Jobs of one database."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._known: dict[str, Job] = {}
        self._known_at = database.version

    async def create(self, new: NewJob) -> Job:
        """Stores a new job with its stages, all pending; holds its credits.

        Raises:
            InsufficientCredits: nothing was stored.
            AnsweredBefore: neither.
        """
        return await self._db.write(_create, new)

    async def check_idempotency(self, account_id: str, key: str, since: float) -> None:
        """Raises AnsweredBefore if this key was used since then."""
        await self._db.read(_check_idempotency, account_id, key, since)

    async def get(self, job_id: str) -> Job | None:
        """The job, or None. Clients poll: what has not changed since is not read again."""
        version = self._db.version
        if self._known_at != version or len(self._known) >= MOST_KNOWN:
            self._known, self._known_at = {}, version
        known = self._known.get(job_id)
        if known is not None:
            return known
        job = await self._db.read(_get, job_id)
        if job is not None and self._db.version == version == self._known_at:
            self._known[job_id] = job
        return job

    async def page(
        self, account_id: str, status: str | None, limit: int, offset: int
    ) -> tuple[list[Job], int]:
        """A page of an account's jobs, newest first, and how many there are in all.

        status: pending (nothing has begun), processing, completed, failed or expired.
        """
        return await self._db.read(_page, account_id, status, limit, offset)

    async def forecast(self) -> tuple[float | None, float]:
        """Seconds that separating a second of audio took lately, and seconds of audio that wait."""
        return await self._db.read(_forecast)

    async def count_fetching(self, account_id: str) -> int:
        """How many of an account's jobs wait for their sources."""
        values = {"account_id": account_id}
        return (await self._db.read(_all, "count_fetching", values))[0][0]

    async def count_unfinished(self) -> int:
        """How many jobs are queued or running."""
        return await self._db.read(_scalar, "count_unfinished")

    async def claim(
        self, pool: str, lease: str, now: float, before: float = math.inf
    ) -> Claim | None:
        """Takes the stage that is due first of those ready for this pool, or None.

        before: only one that is due earlier than that.
        """
        return await self._db.write(_claim, pool, lease, now, before)

    async def finish(
        self, stage: Stage, facts: dict[str, Any], tracks: dict[str, str], now: float
    ) -> Ended:
        """Completes a claimed stage, and with the last one the job.

        Raises:
            LeaseLost: the stage is no longer this claim's; nothing was changed.
        """
        return await self._db.write(_finish, stage, facts, tracks, now)

    async def release(self, stage: Stage, error: str | None, charge: bool) -> None:
        """Puts a claimed stage back into the queue. Raises LeaseLost."""
        await self._db.write(_release, stage, error, charge)

    async def fail(self, stage: Stage, error: str, now: float) -> bool:
        """Fails a claimed stage for good, and its job unless the stage is late.

        True when nothing of the job is left to do. Raises LeaseLost.
        """
        return await self._db.write(_fail, stage, error, now)

    async def settle(self, stage: Stage, request: str, seconds: int, now: float) -> Ended:
        """Completes the stage that found out what a job costs, and holds the credits.

        Raises:
            LeaseLost, InsufficientCredits: nothing was changed.
        """
        return await self._db.write(_settle, stage, request, seconds, now)

    async def set_progress(self, job_id: str, percent: int) -> None:
        """Raises a running job's progress; it never goes down."""
        await self._db.write(_change, "set_progress", {"job_id": job_id, "percent": percent})

    async def cancel(self, job_id: str, error: str, now: float) -> bool:
        """Fails a job that is not finished, whoever works on it. False: it had ended."""
        return await self._db.write(_cancel, job_id, error, now)

    async def remove(self, job_id: str, now: float) -> bool:
        """Marks a completed job as expired. False: it was not completed."""
        return await self._db.write(_remove, job_id, now)

    async def recover(self, boot: str, machine_boot: str, now: float) -> int:
        """At the start: takes back what an earlier boot of the server held.

        A stage that was running at MAX_ORPHANED sudden ends of the server is given up.
        `machine_boot` names the boot of the machine: after a new one, unfinished jobs start
        from their inputs, since scratch files are not synced. Returns the number of stages.
        """
        return await self._db.write(_recover, boot, machine_boot, now)

    async def due(self, before: float) -> list[str]:
        """Jobs whose time is over before this: ended then, or waiting since and never begun."""
        rows = await self._db.read(_all, "select_due", {"before": before})
        return [row["id"] for row in rows]

    async def expire(self, job_id: str, now: float) -> None:
        """Marks a job as expired."""
        await self._db.write(_expire, job_id, now)

    async def forget(self, before: float) -> None:
        """Deletes the rows of expired pipeline jobs, once their files are gone."""
        await self._db.write(_change, "forget_expired", {"before": before})

    async def forget_answers(self, before: float) -> None:
        """Deletes answers to Idempotency-Keys of before this time."""
        await self._db.write(_change, "forget_answers", {"before": before})

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
    return Stage(**dict(row))


def _get(db: sqlite3.Connection, job_id: str) -> Job | None:
    row = db.execute(SQL["select_job"], {"id": job_id}).fetchone()
    if row is None:
        return None
    stages = [_stage(found) for found in _all(db, "select_stages", {"id": job_id})]
    tracks = {found["name"]: found["path"] for found in _all(db, "select_tracks", {"id": job_id})}
    return Job(**dict(row), stages=stages, tracks=tracks)


def _change(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
    return db.execute(SQL[name], values).rowcount


def _create(db: sqlite3.Connection, new: NewJob) -> Job:
    if new.idempotency_record is not None:
        _remember(db, new, new.idempotency_record)
    db.execute(SQL["insert_job"], {
        "id": new.id, "api": new.api, "options": new.options, "now": new.created_at,
        "account_id": new.account_id, "request": new.request, "callback_url": new.callback_url,
    })  # fmt: skip
    for position, stage in enumerate(new.plan):
        db.execute(SQL["insert_stage"], {
            "job_id": new.id, "name": stage.name, "position": position, "pool": stage.pool,
            "late": int(stage.late),
        })  # fmt: skip
        for needs in stage.needs:
            values = {"job_id": new.id, "stage": stage.name, "needs": needs}
            db.execute(SQL["insert_need"], values)
    if new.seconds is not None and new.account_id is not None:
        book(db, Entry(new.account_id, "hold", new.seconds, new.created_at, new.id))
    job = _get(db, new.id)
    assert job is not None
    return job


def _remember(db: sqlite3.Connection, new: NewJob, first: IdempotencyRecord) -> None:
    assert new.account_id is not None
    _check_idempotency(db, new.account_id, first.key, first.since)
    db.execute(SQL["insert_first_answer"], {
        "account_id": new.account_id, "key": first.key, "body_hash": first.body_hash,
        "answer": first.answer, "now": new.created_at,
    })  # fmt: skip


def _check_idempotency(db: sqlite3.Connection, account_id: str, key: str, since: float) -> None:
    row = db.execute(SQL["select_first_answer"], {"account_id": account_id, "key": key}).fetchone()
    if row is not None and row["created_at"] >= since:
        raise AnsweredBefore(row["body_hash"], row["answer"])


def _page(
    db: sqlite3.Connection, account_id: str, status: str | None, limit: int, offset: int
) -> tuple[list[Job], int]:
    values = {"account_id": account_id, "status": status}
    total: int = db.execute(SQL["count_jobs"], values).fetchone()[0]
    rows = db.execute(SQL["select_jobs"], values | {"limit": limit, "offset": offset}).fetchall()
    return [Job(**dict(row), stages=[], tracks={}) for row in rows], total


def _claim(
    db: sqlite3.Connection, pool: str, lease: str, now: float, before: float
) -> Claim | None:
    rows = _all(db, "claim", {"pool": pool, "lease": lease, "now": now, "before": before})
    if not rows:
        return None
    row = dict(rows[0])
    due = row.pop("due")
    stage = Stage(**row)
    if pool != FETCH:
        db.execute(SQL["job_started"], {"job_id": stage.job_id, "now": now})
    job = _get(db, stage.job_id)
    assert job is not None
    facts: dict[str, Any] = {}
    for found in _all(db, "facts_so_far", {"job_id": stage.job_id}):
        facts |= json.loads(found["facts"])
    return Claim(job, stage, facts, due)


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
) -> Ended:
    _fenced(db, "finish_stage", stage, {"now": now, "facts": json.dumps(facts)})
    for name, path in tracks.items():
        db.execute(SQL["upsert_track"], {"job_id": stage.job_id, "name": name, "path": path})
    completed = _change(db, "finish_job", {"job_id": stage.job_id, "now": now}) == 1
    return Ended(completed, _is_over(db, stage.job_id))


def _settle(
    db: sqlite3.Connection, stage: Stage, request: str, seconds: int, now: float
) -> Ended:
    ended = _finish(db, stage, {}, {}, now)
    db.execute(SQL["settle"], {"id": stage.job_id, "request": request})
    job = _get(db, stage.job_id)
    if job is not None and job.account_id is not None:
        book(db, Entry(job.account_id, "hold", seconds, now, job.id))
    return ended


def _forecast(db: sqlite3.Connection) -> tuple[float | None, float]:
    """Songs share a worker: what counts is the time in which any was separated."""
    audio = work = end = 0.0
    rows = db.execute(SQL["lately_separated"]).fetchall()
    for row in sorted(rows, key=lambda row: row["started_at"]):
        audio += row["seconds"]
        work += max(0.0, row["completed_at"] - max(end, row["started_at"]))
        end = max(end, row["completed_at"])
    waiting: float = db.execute(SQL["seconds_waiting"]).fetchone()[0]
    return work / audio if audio else None, waiting


def _release(db: sqlite3.Connection, stage: Stage, error: str | None, charge: bool) -> None:
    _fenced(db, "release_stage", stage, {"error": error, "charge": int(charge)})


def _fail(db: sqlite3.Connection, stage: Stage, error: str, now: float) -> bool:
    _fenced(db, "fail_stage", stage, {"now": now, "error": error})
    if stage.late:
        return _is_over(db, stage.job_id)
    db.execute(SQL["stop_siblings"], {"job_id": stage.job_id, "now": now})
    db.execute(SQL["fail_job"], {"job_id": stage.job_id, "now": now, "error": error})
    db.execute(SQL["stop_late"], {"job_id": stage.job_id, "now": now})
    return True


def _is_over(db: sqlite3.Connection, job_id: str) -> bool:
    return bool(db.execute(SQL["is_over"], {"job_id": job_id}).fetchone()[0])


def _cancel(db: sqlite3.Connection, job_id: str, error: str, now: float) -> bool:
    values = {"job_id": job_id, "now": now, "error": error}
    if _change(db, "fail_job", values) == 0:
        return False
    db.execute(SQL["cancel_stages"], values)
    return True


def _remove(db: sqlite3.Connection, job_id: str, now: float) -> bool:
    if _change(db, "remove_job", {"job_id": job_id, "now": now}) == 0:
        return False
    db.execute(SQL["stop_late"], {"job_id": job_id, "now": now})
    return True


def _expire(db: sqlite3.Connection, job_id: str, now: float) -> None:
    db.execute(SQL["expire"], {"id": job_id, "now": now})
    values = {"job_id": job_id, "now": now, "error": "The job has expired"}
    db.execute(SQL["cancel_stages"], values)


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
        db.execute(SQL["drop_late_stages"], {"now": now})
    db.execute(SQL["set_fact"], {"name": "machine_boot", "value": machine_boot})
    return released
