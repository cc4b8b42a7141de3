"""Deleting what is old, some rows at a time: nobody waits long, and the WAL stays short."""

import sqlite3

from store.connection import Database

MOST = 500  # rows of one transaction; more go with each job


async def forget(database: Database, sql: str, before: float) -> int:
    """Runs a DELETE of `:most` rows from before `:before` until none is left; how many went."""
    removed = 0
    while True:
        gone = await database.write(_delete, sql, before)
        removed += gone
        if gone < MOST:
            return removed


def _delete(db: sqlite3.Connection, sql: str, before: float) -> int:
    return db.execute(sql, {"before": before, "most": MOST}).rowcount
