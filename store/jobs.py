"""Jobs from their creation to their expiry. What becomes of their stages is `stages`' business.

Methods are coroutines on a `Database`; each is one transaction. Times are unix seconds and come
from the caller.
"""

import json
import math
import sqlite3
from collections.abc import Iterable
from typing import Any

from store import idempotency
from store.connection import Database
from store.credits import Entry, book
from store.forgetting import forget
from store.lists import find_spot
from store.records import Job, NewJob, read_job
from store.rooms import RoomRepository
from store.stages import StageRepository
from store.statements import load

SQL = load("jobs") | load("stages")  # a job that ends, ends its stages
MOST_KNOWN = 10_000  # jobs in memory, between two commits


class JobRepository:
    """Jobs of one database.

    Attributes:
        stages: attempts at these jobs' stages.
        rooms: what these jobs' files take on the disk.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.stages = StageRepository(database)
        self.rooms = RoomRepository(database)
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
        await self._db.read(idempotency.check, account_id, key, since)

    async def get(self, job_id: str) -> Job | None:
        """The job, or None. Clients poll: what has not changed since is not read again."""
        version = self._db.version
        if self._known_at != version or len(self._known) >= MOST_KNOWN:
            self._known, self._known_at = {}, version
        known = self._known.get(job_id)
        if known is not None:
            return known
        job = await self._db.read(read_job, job_id)
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

    async def forecast(self, job_id: str = "", due: float = math.inf) -> tuple[float | None, float]:
        """Seconds that separating a second of audio took lately, and seconds of audio that are to
        be separated until this job's are; or all that is due by then, if there is no such job.
        """
        return await self._db.read(_forecast, job_id, due)

    async def paces(self) -> dict[str, float]:
        """Seconds that separating a second of audio took lately, by model."""
        rows = await self._db.read(_all, "lately_by_model", {})
        return {row["model"]: row["work"] / row["audio"] for row in rows if row["model"]}

    async def count_fetching(self, account_id: str) -> int:
        """How many of an account's jobs wait for their sources."""
        values = {"account_id": account_id}
        return (await self._db.read(_all, "count_fetching", values))[0][0]

    async def count_tests(self, account_id: str) -> int:
        """How many of an account's unfinished jobs are test keys'."""
        values = {"account_id": account_id}
        return (await self._db.read(_all, "count_tests", values))[0][0]

    async def count_before(self, job_id: str) -> int:
        """How many jobs that wait for a separation worker are due before this one; 0 if there is no
        such job."""
        rows = await self._db.read(_all, "count_before", {"job_id": job_id})
        return int(rows[0][0]) if rows else 0

    async def count_unfinished(self) -> int:
        """How many jobs are queued or running."""
        return await self._db.read(_scalar, "count_unfinished")

    async def has_unfinished(self, caller: str) -> bool:
        """Whether any of those is of this account, or from this address."""
        rows = await self._db.read(_all, "has_unfinished", {"caller": caller})
        return bool(rows[0][0])

    async def sum_up(self, job_id: str, name: str, size: int, crc: int) -> None:
        """Keeps size and CRC-32 of a track that was finished before they were kept."""
        values = {"job_id": job_id, "name": name, "size": size, "crc": crc}
        await self._db.write(_change, "sum_up_track", values)

    async def cancel(self, job_id: str, error: str, now: float) -> bool:
        """Fails a job that is not finished, whoever works on it. False: it had ended."""
        return await self._db.write(_cancel, job_id, error, now)

    async def discard(self, job_id: str, error: str, now: float) -> bool:
        """Marks a job as expired, and fails it before if it is not finished: nobody is told of it
        as of one whose files stay. False: it had ended."""
        return await self._db.write(_discard, job_id, error, now)

    async def remove(self, job_id: str, now: float) -> bool:
        """Marks a completed job as expired. False: it was not completed."""
        return await self._db.write(_remove, job_id, now)

    async def due(self, before: float) -> list[tuple[str, bool]]:
        """Jobs whose time is over before this, and whether they wait: ended then, or waiting since
        while nobody works on them."""
        rows = await self._db.read(_all, "select_due", {"before": before})
        return [(row["id"], bool(row["waits"])) for row in rows]

    async def give_up(self, job_id: str, now: float) -> bool:
        """Marks a job as expired that waits. False: it was taken up meanwhile, or has ended."""
        return await self._db.write(_give_up, job_id, now)

    async def expire(self, job_id: str, now: float) -> None:
        """Marks a job as expired."""
        await self._db.write(_expire, job_id, now)

    async def forget(self, before: float) -> int:
        """Deletes the rows of expired pipeline jobs, whose files are gone. Returns how many."""
        return await forget(self._db, SQL["forget_expired"], before)

    async def forget_history(self, before: float) -> int:
        """Deletes the rows of StemSplit jobs that ended before this time and have no files. Returns
        how many."""
        return await forget(self._db, SQL["forget_history"], before)

    async def forget_answers(self, before: float) -> int:
        """Deletes answers to Idempotency-Keys of before this time. Returns how many."""
        return await forget(self._db, idempotency.SQL["forget_answers"], before)

    async def live_ids(self, ids: Iterable[str]) -> set[str]:
        """Those of these jobs whose outputs must stay on disk."""
        return await self._ids("select_live_ids", ids)

    async def unfinished_ids(self, ids: Iterable[str]) -> set[str]:
        """Those of these jobs whose scratch must stay on disk."""
        return await self._ids("select_unfinished_ids", ids)

    async def _ids(self, name: str, ids: Iterable[str]) -> set[str]:
        values = {"ids": json.dumps(list(ids))}
        return {row["id"] for row in await self._db.read(_all, name, values)}


def _all(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> list[sqlite3.Row]:
    return db.execute(SQL[name], values).fetchall()


def _scalar(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(SQL[name]).fetchone()[0]
    return value


def _change(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
    return db.execute(SQL[name], values).rowcount


def _create(db: sqlite3.Connection, new: NewJob) -> Job:
    if new.idempotency_record is not None:
        assert new.account_id is not None
        idempotency.remember(db, new.account_id, new.idempotency_record, new.created_at)
    db.execute(SQL["insert_job"], {
        "id": new.id, "api": new.api, "options": new.options, "now": new.created_at,
        "account_id": new.account_id, "address": new.address, "request": new.request,
        "callback_url": new.callback_url,
        "scratch_bytes": new.room.scratch, "output_bytes": new.room.outputs,
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
    job = read_job(db, new.id)
    assert job is not None
    return job


def _page(
    db: sqlite3.Connection, account_id: str, status: str | None, limit: int, offset: int
) -> tuple[list[Job], int]:
    spot = find_spot(db, "jobs", account_id, status, offset)
    rows = db.execute(SQL["select_jobs" if status is None else "select_jobs_of_status"], {
        "account_id": account_id, "kind": status, "limit": limit, "block": spot.block,
        "skip": spot.skip,
    }).fetchall()  # fmt: skip
    return [Job(**dict(row), stages=[], tracks={}) for row in rows], spot.total


def _forecast(db: sqlite3.Connection, job_id: str, due: float) -> tuple[float | None, float]:
    """Songs share a worker: what counts is the time in which any was separated."""
    audio = work = end = 0.0
    rows = db.execute(SQL["lately_separated"]).fetchall()
    for row in sorted(rows, key=lambda row: row["started_at"]):
        audio += row["seconds"]
        work += max(0.0, row["completed_at"] - max(end, row["started_at"]))
        end = max(end, row["completed_at"])
    values = {"job_id": job_id, "due": due}
    waiting: float = db.execute(SQL["seconds_waiting"], values).fetchone()[0]
    return work / audio if audio else None, waiting


def _cancel(db: sqlite3.Connection, job_id: str, error: str, now: float) -> bool:
    values = {"job_id": job_id, "now": now, "error": error}
    if _change(db, "fail_job", values) == 0:
        return False
    db.execute(SQL["cancel_stages"], values)
    return True


def _discard(db: sqlite3.Connection, job_id: str, error: str, now: float) -> bool:
    cancelled = _cancel(db, job_id, error, now)
    _expire(db, job_id, now)
    return cancelled


def _remove(db: sqlite3.Connection, job_id: str, now: float) -> bool:
    if _change(db, "remove_job", {"job_id": job_id, "now": now}) == 0:
        return False
    db.execute(SQL["stop_late"], {"job_id": job_id, "now": now})
    return True


def _give_up(db: sqlite3.Connection, job_id: str, now: float) -> bool:
    waits = bool(db.execute(SQL["waits"], {"id": job_id}).fetchone()[0])
    if waits:
        _expire(db, job_id, now)
    return waits


def _expire(db: sqlite3.Connection, job_id: str, now: float) -> None:
    db.execute(SQL["expire"], {"id": job_id, "now": now})
    values = {"job_id": job_id, "now": now, "error": "The job has expired"}
    db.execute(SQL["cancel_stages"], values)
