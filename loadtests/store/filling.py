"""Makes a database as it is after years of traffic, quickly: rows by `executemany`, in the order of
their keys, into the schema from before the indexes; the last migrations then do their work.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.migrations import available, migrate

NOW: Final = 1_800_000_000.0  # unix seconds: when the database ends
DAY: Final = 86400.0
HISTORY: Final = 90 * DAY  # over which the finished jobs are spread
BEFORE_INDEXES: Final = 12  # the schema that the rows go into
ACCOUNTS: Final = 50  # beside the big one
BIG: Final = "acme"  # has every second job
ROOMS: Final = 1 << 20  # KiB of memory that SQLite may take
REQUEST: Final = (
    '{"output_type":"BOTH","quality":"BEST","output_format":"MP3","model":"starter",'
    '"file_name":"a song.mp3","seconds":%d,"size_bytes":4000000,"metadata":{}}'
)
STAGES: Final = ("decode", "separate", "encode/vocals", "encode/instrumental", "describe")
NEEDS: Final = (("separate", "decode"), ("encode/vocals", "separate"),
                ("encode/instrumental", "separate"), ("describe", "decode"))  # fmt: skip

Report = Callable[[str, int], None]
"""Is told a table and how many rows it gets."""


class Sizes(NamedTuple):
    """How many rows there are to be. Deliveries and ledger entries are of the finished jobs."""

    finished: int
    queued: int
    deliveries: int
    ledger: int


class Row(NamedTuple):
    """A job to be: `place` from 0 on in the order of ids, times in unix seconds."""

    place: int
    id: str
    api: str
    state: str
    account: str | None
    created_at: float
    seconds: int


def fill(path: Path, sizes: Sizes, report: Report = lambda table, rows: None) -> None:
    """Writes a new database of these sizes. A crash leaves nothing useful: it is not synced."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{ROOMS}"):
            db.execute(f"PRAGMA {pragma}")
        for number, sql in available():
            if number <= BEFORE_INDEXES:
                db.executescript(f"{sql}\nPRAGMA user_version = {number};")
        for table, columns, rows in _tables(sizes):
            marks = ", ".join("?" * len(columns.split(",")))
            db.execute("BEGIN")
            insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
            report(table, db.executemany(insert, rows).rowcount)
            db.execute("COMMIT")
        migrate(db)
        db.execute("PRAGMA journal_mode = WAL")


def job_id(place: int, of: int) -> str:
    """Ids are spread evenly, and do not follow the time."""
    return f"{place * (2**128 // of):032x}"


def jobs(sizes: Sizes) -> Iterator[Row]:
    """All jobs, in the order of their ids."""
    of = sizes.finished + sizes.queued
    for place in range(of):
        moment = place * 2654435761 % of  # a permutation: the multiplier is a prime
        queued = moment >= sizes.finished
        share = moment / of
        state = "processing" if queued else _ended(place, share)
        pipeline = state == "completed" and place % 4 == 0
        account = BIG if place % 2 else f"account{place // 2 % ACCOUNTS}"
        created = NOW - (of - moment if queued else HISTORY * (1 - share) + 3600)
        yield Row(place, job_id(place, of), "pipeline" if pipeline else "stemsplit", state,
                  None if pipeline else account, created, 30 + place % 400)  # fmt: skip


def _ended(place: int, share: float) -> str:
    if place % 20 == 1:
        return "failed"
    return "completed" if share > 0.99 else "expired"


def _tables(sizes: Sizes) -> Iterator[tuple[str, str, Iterable[tuple[Any, ...]]]]:
    names = [BIG, *(f"account{number}" for number in range(ACCOUNTS))]
    yield "accounts", "id, name, created_at", ((name, name, 1.0) for name in names)
    yield ("webhooks", "id, account_id, url, events, secret, created_at",
           ((f"hook-{name}", name, "https://partner.example/hook",
             '["job.completed","job.failed"]', "whsec_x", 1.0) for name in names))  # fmt: skip
    yield ("jobs", "id, api, state, options, created_at, completed_at, expired_at, account_id,"
           " request, progress, started_at", map(_job, jobs(sizes)))  # fmt: skip
    yield ("stages", "job_id, name, position, pool, state, started_at, completed_at, late",
           (row for job in jobs(sizes) for row in _stages(job)))  # fmt: skip
    yield ("stage_needs", "job_id, stage, needs",
           ((job.id, *need) for job in jobs(sizes) for need in sorted(NEEDS)))  # fmt: skip
    yield ("tracks", "job_id, name, path, size, crc",
           ((job.id, name, f"{name}.mp3", 7_000_000, 1) for job in jobs(sizes)
            if job.state == "completed" for name in ("instrumental", "vocals")))  # fmt: skip
    yield ("ledger", "account_id, job_id, kind, seconds, balance, created_at",
           _ledger(sizes, names))  # fmt: skip
    yield ("deliveries", "id, account_id, job_id, webhook_id, event, state, attempt, next_at,"
           " created_at", _deliveries(sizes))  # fmt: skip
    yield ("attempts", "delivery_id, number, began_at, seconds, status",
           ((f"msg_{job.id}", 1, job.created_at + 60, 0.1, 200)
            for job in _told(sizes)))  # fmt: skip


def _job(job: Row) -> tuple[Any, ...]:
    ended = None if job.state == "processing" else job.created_at + 60
    expired = job.created_at + DAY if job.state == "expired" else None
    return (job.id, job.api, job.state, '{"quality":"BEST"}', job.created_at, ended, expired,
            job.account, REQUEST % job.seconds, 0 if ended is None else 100,
            None if ended is None else job.created_at + 1)  # fmt: skip


def _stages(job: Row) -> list[tuple[Any, ...]]:
    """Of a job that failed, those stay pending that never began."""
    rows = []
    for position, name in enumerate(STAGES):
        state = {"processing": "pending", "failed": "pending"}.get(job.state, "completed")
        if job.state == "failed" and name == "decode":
            state = "failed"
        began = None if state == "pending" else job.created_at + 1
        rows.append((job.id, name, position, "separation" if name == "separate" else "audio", state,
                     began, began and began + 9, int(name == "describe")))  # fmt: skip
    return sorted(rows, key=lambda row: row[1])


def _ledger(sizes: Sizes, names: list[str]) -> Iterator[tuple[Any, ...]]:
    """A grant for each account; a hold and a capture of a second for each job."""
    balance = dict.fromkeys(names, 10**9)
    for name in names:
        yield name, None, "grant", 10**9, 10**9, 1.0
    left = sizes.ledger // 2
    for job in jobs(sizes):
        if left == 0:
            return
        if job.account is None or job.state == "processing":
            continue
        left -= 1
        balance[job.account] -= 1
        for kind in ("hold", "capture" if job.state != "failed" else "release"):
            if kind == "release":
                balance[job.account] += 1
            yield job.account, job.id, kind, 1, balance[job.account], job.created_at


def _told(sizes: Sizes) -> Iterator[Row]:
    left = sizes.deliveries
    for job in jobs(sizes):
        if left == 0:
            return
        if job.account is not None and job.state != "processing":
            left -= 1
            yield job


def _deliveries(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    """Most have arrived, all within the last week; one in a thousand waits for its next attempt."""
    for number, job in enumerate(_told(sizes)):
        event = "job.failed" if job.state == "failed" else "job.completed"
        state = "waiting" if number % 1000 == 7 else "delivered"
        yield (f"msg_{job.id}", job.account, job.id, f"hook-{job.account}", event, state, 1,
               NOW + 600 + number, NOW - 6 * DAY + number)  # fmt: skip
