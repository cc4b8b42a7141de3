"""What is kept of the machine's clocks, and the times that move along when one of them jumps."""

import sqlite3

from store.connection import Database
from store.statements import load
from store.uploads import VALID_SECONDS

SQL = load("clock")
MOVED = ("move_deliveries", "move_answers", "move_jobs")
SETTLED = ("settle_ended", "settle_uploads", "settle_history")


class ClockRepository:
    """The clock's record in one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def load(self) -> str | None:
        """The record that was kept last, or None."""
        return await self._db.read(_load)

    async def keep(self, record: str) -> None:
        """Keeps a record."""
        await self._db.write(_keep, record)

    async def move(self, record: str, jump: float, now: float) -> None:
        """Moves schedules along with a clock that jumped by so many seconds, and is `now` there.

        The record is kept in the same transaction: no jump counts twice.
        """
        await self._db.write(_move, record, jump, now)


    async def settle(self, record: str, now: float) -> None:
        """Takes what happened in a time still to come for what has just happened: `now` is true.

        The record is kept in the same transaction.
        """
        await self._db.write(_settle, record, now)


def _load(db: sqlite3.Connection) -> str | None:
    row = db.execute(SQL["get_clock"]).fetchone()
    return None if row is None else row["value"]


def _keep(db: sqlite3.Connection, record: str) -> None:
    db.execute(SQL["set_clock"], {"record": record})


def _move(db: sqlite3.Connection, record: str, jump: float, now: float) -> None:
    for name in MOVED:
        db.execute(SQL[name], {"jump": jump, "now": now})
    _keep(db, record)


def _settle(db: sqlite3.Connection, record: str, now: float) -> None:
    for name in SETTLED:
        db.execute(SQL[name], {"now": now, "valid": VALID_SECONDS})
    _keep(db, record)
