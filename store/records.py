"""What a job is in the database: its row, its stages and its tracks; and reading one."""

import sqlite3
from typing import Any, NamedTuple

from msgspec import Struct

from store.idempotency import IdempotencyRecord
from store.statements import load

SQL = load("records")


class StagePlan(Struct, frozen=True):
    """One stage of a new job: its pool and the stages whose results it needs.

    A late stage adds to the job and does not hold it up.
    """

    name: str
    pool: str
    needs: tuple[str, ...] = ()
    late: bool = False


class Room(NamedTuple):
    """Bytes that a job's files take at the most: while it runs, and of its tracks."""

    scratch: int = 0
    outputs: int = 0


class NewJob(Struct, frozen=True, kw_only=True):
    """What is stored of a job when it is accepted. `options` and `request` are JSON.

    `seconds`: credits to hold, None where they are not known yet or not asked for. `address`: who
    sent it, where that is no account.
    """

    id: str
    api: str
    options: str
    plan: tuple[StagePlan, ...]
    created_at: float
    request: str = "{}"
    account_id: str | None = None
    address: str | None = None
    callback_url: str | None = None
    seconds: int | None = None
    idempotency_record: IdempotencyRecord | None = None
    room: Room = Room()


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


class Track(Struct, frozen=True):
    """A finished track's file: its path below the job's outputs folder, its bytes, their CRC-32.

    The last two are None for files that were written before they were kept.
    """

    path: str
    size: int | None = None
    crc: int | None = None


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
    tracks: dict[str, Track]


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


def read_job(db: sqlite3.Connection, job_id: str) -> Job | None:
    """The job with its stages and tracks, or None."""
    row = db.execute(SQL["select_job"], {"id": job_id}).fetchone()
    if row is None:
        return None
    stages = [Stage(**dict(found)) for found in db.execute(SQL["select_stages"], {"id": job_id})]
    tracks = {
        found["name"]: Track(found["path"], found["size"], found["crc"])
        for found in db.execute(SQL["select_tracks"], {"id": job_id})
    }
    return Job(**dict(row), stages=stages, tracks=tracks)
