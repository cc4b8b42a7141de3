"""Numbered schema changes: `NNNN_name.sql`, applied in order, each with its number in one commit.

A server that is killed between two statements finds the older schema and starts again.
"""

import sqlite3
from importlib.resources import files

JOBS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'jobs'"


def available() -> list[tuple[int, str]]:
    """All migrations as (number, SQL), in order."""
    found = (entry for entry in files(__package__).iterdir() if entry.name.endswith(".sql"))
    return sorted((int(entry.name[:4]), entry.read_text(encoding="utf-8")) for entry in found)


def schema_of(connection: sqlite3.Connection) -> int:
    """The schema's number (`PRAGMA user_version`).

    Raises:
        RuntimeError: the database was written by a newer stembox, or has lost its number, as one
            does that is made anew of SQLite's own dump.
    """
    current: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if not current and connection.execute(JOBS).fetchone():
        raise RuntimeError("the database has lost its schema's number (PRAGMA user_version)")
    if current > available()[-1][0]:
        raise RuntimeError(f"the database has schema {current}, newer than this stembox knows")
    return current


def migrate(connection: sqlite3.Connection) -> int:
    """Brings the schema up to date. Returns its number. Raises as `schema_of`."""
    current = schema_of(connection)
    for number, sql in available():
        if number > current:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
            current = number
    return current
