"""Credits: a ledger of whole seconds that is only ever added to. The balance follows from it."""

import sqlite3

from msgspec import Struct

from store.connection import Database
from store.statements import load

SQL = load("credits")


class InsufficientCredits(Exception):
    """The balance is smaller than what is to be held."""


class BookedBefore(Exception):
    """The job has an entry of this kind already, or the account one of this reference: nothing was
    added."""


class Entry(Struct, frozen=True):
    """What is to be added: grant (no job), hold, capture, release or refund.

    reference: names a grant, so that it is given once.
    """

    account_id: str
    kind: str
    seconds: int
    created_at: float
    job_id: str | None = None
    reference: str | None = None


class Booked(Struct, frozen=True):
    """One line of an account's ledger, with the balance after it."""

    kind: str
    seconds: int
    balance: int
    job_id: str | None
    created_at: float


class CreditRepository:
    """The ledger of one database. How a job's hold ends is the jobs table's own trigger."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def balance(self, account_id: str) -> tuple[int, float | None]:
        """Seconds that the account may still spend, and when they changed last."""
        return await self._db.read(_balance, account_id)

    async def add(self, entry: Entry) -> None:
        """Books one entry.

        Raises:
            InsufficientCredits: a hold of more than the balance.
            BookedBefore: a second entry of its kind for its job, or of its reference.
        """
        await self._db.write(book, entry)

    async def referred(self, account_id: str, reference: str) -> Booked | None:
        """The account's entry of this reference, or None."""
        return await self._db.read(_referred, account_id, reference)

    async def entries(self, account_id: str, last: int = -1) -> list[Booked]:
        """An account's ledger, the oldest entry first: all of it, or the `last` entries."""
        return await self._db.read(_entries, account_id, last)

    async def page(self, account_id: str, limit: int, offset: int) -> tuple[list[Booked], int]:
        """A page of an account's ledger, the newest entry first, and how many there are in all."""
        return await self._db.read(_page, account_id, limit, offset)


def book(db: sqlite3.Connection, entry: Entry) -> None:
    """Adds one entry, within a transaction of the caller's. Raises as `add`."""
    try:
        db.execute(SQL["book"], {
            "account_id": entry.account_id, "job_id": entry.job_id, "kind": entry.kind,
            "seconds": entry.seconds, "now": entry.created_at, "reference": entry.reference,
        })  # fmt: skip
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise BookedBefore(f"{entry.kind} of {entry.job_id or entry.reference}") from None
        if "balance" in str(error):
            raise InsufficientCredits(entry.account_id) from None
        raise


def _balance(db: sqlite3.Connection, account_id: str) -> tuple[int, float | None]:
    row = db.execute(SQL["select_balance"], {"account_id": account_id}).fetchone()
    return (0, None) if row is None else (row["balance"], row["created_at"])


def _entries(db: sqlite3.Connection, account_id: str, last: int) -> list[Booked]:
    rows = db.execute(SQL["select_entries"], {"account_id": account_id, "last": last}).fetchall()
    return [Booked(**dict(row)) for row in reversed(rows)]


def _page(
    db: sqlite3.Connection, account_id: str, limit: int, offset: int
) -> tuple[list[Booked], int]:
    values = {"account_id": account_id}
    total: int = db.execute(SQL["count_entries"], values).fetchone()[0]
    rows = db.execute(SQL["select_ledger"], values | {
        "newest": total, "limit": limit, "offset": offset,
    }).fetchall()  # fmt: skip
    return [Booked(**dict(row)) for row in rows], total


def _referred(db: sqlite3.Connection, account_id: str, reference: str) -> Booked | None:
    values = {"account_id": account_id, "reference": reference}
    row = db.execute(SQL["select_by_reference"], values).fetchone()
    return None if row is None else Booked(**dict(row))
