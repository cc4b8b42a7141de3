"""Accounts and their keys, of which only hashes are kept."""

import sqlite3
import uuid

from msgspec import Struct

from store.connection import Database
from store.credits import BookedBefore, Entry, book
from store.statements import load

SQL = load("accounts")


class Key(Struct, frozen=True):
    """A key as it is stored. `prefix`: its first characters; `scopes`: what it opens, separated
    by commas; `requests_per_minute`: its own limit, if it has one. Times are unix seconds."""

    hash: str
    prefix: str
    account_id: str
    created_at: float
    revoked_at: float | None
    scopes: str
    requests_per_minute: int | None


class ListedKey(Struct, frozen=True):
    """A key in a list for people, with its account's name."""

    prefix: str
    account: str
    created_at: float
    revoked_at: float | None
    scopes: str
    requests_per_minute: int | None


class NewKey(Struct, frozen=True):
    """A key to be made, for the account of this name, which is made if there is none.

    seconds: credits that come with it, once for each `reference`.
    """

    account: str
    hash: str
    prefix: str
    seconds: int
    reference: str | None
    created_at: float
    scopes: str = "pipeline,stemsplit"
    requests_per_minute: int | None = None


class AccountRepository:
    """Accounts of one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def ensure(self, name: str, now: float) -> str:
        """The id of the account of this name, which is made if there is none."""
        return await self._db.write(_ensure, name, now)

    async def find(self, name: str) -> str | None:
        """The id of the account of this name, or None."""
        return await self._db.read(_find, name)

    async def create_key(self, new: NewKey) -> tuple[str, int]:
        """Makes account, credits and key: all of it, or nothing. Returns the account's id, and the
        seconds that were booked: 0 where they had been before, under this reference."""
        return await self._db.write(_create_key, new)

    async def key(self, key_hash: str) -> Key | None:
        """The key with this hash, or None."""
        return await self._db.read(_key, key_hash)

    async def keys(self) -> list[ListedKey]:
        """All keys, the oldest first."""
        return await self._db.read(_keys)

    async def revoke(self, prefix: str, now: float) -> tuple[int, int]:
        """Revokes the keys that begin so: how many were not revoked yet, how many there are."""
        return await self._db.write(_revoke, prefix, now)


def _find(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute(SQL["select_account"], {"name": name}).fetchone()
    return None if row is None else row["id"]


def _ensure(db: sqlite3.Connection, name: str, now: float) -> str:
    if (account_id := _find(db, name)) is not None:
        return account_id
    db.execute(SQL["insert_account"], {"id": uuid.uuid4().hex, "name": name, "now": now})
    account_id = _find(db, name)
    assert account_id is not None
    return account_id


def _create_key(db: sqlite3.Connection, new: NewKey) -> tuple[str, int]:
    account_id, booked = _ensure(db, new.account, new.created_at), new.seconds
    if new.seconds:
        grant = Entry(account_id, "grant", new.seconds, new.created_at, reference=new.reference)
        try:
            book(db, grant)
        except BookedBefore:
            booked = 0
    db.execute(SQL["insert_key"], {
        "hash": new.hash, "prefix": new.prefix, "account_id": account_id, "now": new.created_at,
        "scopes": new.scopes, "requests_per_minute": new.requests_per_minute,
    })  # fmt: skip
    return account_id, booked


def _key(db: sqlite3.Connection, key_hash: str) -> Key | None:
    row = db.execute(SQL["select_key"], {"hash": key_hash}).fetchone()
    return None if row is None else Key(**dict(row))


def _keys(db: sqlite3.Connection) -> list[ListedKey]:
    return [ListedKey(**dict(row)) for row in db.execute(SQL["select_keys"])]


def _revoke(db: sqlite3.Connection, prefix: str, now: float) -> tuple[int, int]:
    revoked = db.execute(SQL["revoke_keys"], {"prefix": prefix, "now": now}).rowcount
    found: int = db.execute(SQL["count_keys"], {"prefix": prefix}).fetchone()[0]
    return revoked, found
