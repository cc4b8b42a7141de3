"""What has happened since somebody asked last, and how the queue stands: for who counts.

Counted is what was committed, whoever did it. Times are unix seconds.
"""

import sqlite3

from msgspec import Struct

from store.connection import Database
from store.statements import load

SQL = load("happenings")
STANDING = load("standing")


class Happening(Struct, frozen=True):
    """One thing that was committed.

    what: `start` (of a job's separation: its API, the seconds since its posting), `completed`,
        `failed` or `expired` (a job's end: its API, its error, its seconds from its posting on),
        `stage` (a completed one: its name, its model, its seconds from its first start on, the
        frames of its song), `credits` (their kind and seconds), `delivery` (`delivered`, `retried`,
        `given_up`).
    """

    what: str
    name: str
    detail: str
    seconds: float
    frames: int


class Standing(Struct, frozen=True):
    """How the queue stands: jobs by stage that could begin it, and that are at it; when the job
    came that has waited longest to be begun or separated (None: none waits); deliveries that
    wait."""

    waiting: dict[str, int]
    running: dict[str, int]
    oldest: float | None
    deliveries: int


class HappeningRepository:
    """What happens in one database, from `begin` on."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def begin(self) -> None:
        """From now on everything is kept until it is taken."""
        await self._db.write(_begin)

    async def take(self) -> list[Happening]:
        """What has happened since it was taken last, in order."""
        return await self._db.write(_take)

    async def standing(self) -> Standing:
        """How the queue stands now. It is counted: the longer the queue, the longer that takes."""
        return await self._db.watch(_standing)


def _begin(db: sqlite3.Connection) -> None:
    for name, statement in SQL.items():
        if name.startswith("begin_"):
            db.execute(statement)


def _take(db: sqlite3.Connection) -> list[Happening]:
    found = [Happening(**dict(row)) for row in db.execute(SQL["select_all"])]
    if found:
        db.execute(SQL["forget_all"])
    return found


def _standing(db: sqlite3.Connection) -> Standing:
    rows = db.execute(STANDING["count_stages"]).fetchall()
    oldest = db.execute(STANDING["select_oldest"]).fetchone()
    return Standing(
        waiting={row["name"]: row["jobs"] for row in rows if row["state"] == "pending"},
        running={row["name"]: row["jobs"] for row in rows if row["state"] == "processing"},
        oldest=None if oldest is None else oldest["created_at"],
        deliveries=db.execute(STANDING["count_deliveries"]).fetchone()[0],
    )
