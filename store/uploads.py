"""Signed uploads: which keys were handed out, and whether their bytes have come."""

import sqlite3
from typing import Any, NamedTuple

from msgspec import Struct

from store.connection import Database
from store.forgetting import forget
from store.statements import load

SQL = load("uploads")
VALID_SECONDS = 15 * 60  # of an upload's URL
KEPT_SECONDS = 60 * 60  # after an upload's URL has expired, for a job to be made of it


class Ticket(Struct, frozen=True):
    """One upload. `size` in bytes, and their `sha256` in hex: None until they are all here. `gone`:
    they were, and have made room for others."""

    key: str
    account_id: str
    file_name: str
    expires_at: float
    size: int | None = None
    sha256: str | None = None
    gone: bool = False


class Outstanding(NamedTuple):
    """What an account has: tickets that nothing was sent for yet, and bytes that lie here."""

    tickets: int
    bytes: int


class UploadRepository:
    """Uploads of one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, ticket: Ticket) -> None:
        """Stores a new ticket."""
        await self._db.write(_add, ticket)

    async def get(self, key: str) -> Ticket | None:
        """The ticket, or None."""
        return await self._db.read(_get, key)

    async def receive(self, key: str, size: int, sha256: str) -> bool:
        """Books that the bytes are here. False: they were before, or nobody waits for them."""
        return await self._db.write(_receive, key, size, sha256)

    async def bring_back(self, key: str) -> bool:
        """Books that the bytes of a ticket that were gone are here again. False: they were not."""
        return bool(await self._db.write(_names, "bring_back_upload", {"key": key}))

    async def outstanding(self, account_id: str, now: float) -> Outstanding:
        """What an account has asked for, and sent."""
        return await self._db.read(_outstanding, account_id, now)

    async def use(self, key: str, now: float) -> None:
        """A job is made of an upload."""
        await self._db.write(_names, "use_upload", {"key": key, "now": now})

    async def drop_oldest_used(self, account_id: str) -> str | None:
        """The key of the account's upload of which a job was made the longest ago, and whose bytes
        are to go; None where there is none."""
        names = await self._db.write(_names, "drop_oldest_used", {"account_id": account_id})
        return names[0] if names else None

    async def forget(self, before: float) -> int:
        """Deletes what expired before this time. Returns how many."""
        return await forget(self._db, SQL["delete_stale"], before)

    async def keys(self, before: float) -> set[str]:
        """Those that did not expire before this time."""
        return set(await self._db.read(_names, "select_keys", {"before": before}))


def _add(db: sqlite3.Connection, ticket: Ticket) -> None:
    db.execute(SQL["insert_upload"], {
        "key": ticket.key, "account_id": ticket.account_id, "file_name": ticket.file_name,
        "expires_at": ticket.expires_at,
    })  # fmt: skip


def _outstanding(db: sqlite3.Connection, account_id: str, now: float) -> Outstanding:
    row = db.execute(SQL["outstanding"], {"account_id": account_id, "now": now}).fetchone()
    return Outstanding(row["tickets"], row["bytes"])


def _get(db: sqlite3.Connection, key: str) -> Ticket | None:
    row = db.execute(SQL["select_upload"], {"key": key}).fetchone()
    return None if row is None else Ticket(**dict(row) | {"gone": bool(row["gone"])})


def _receive(db: sqlite3.Connection, key: str, size: int, sha256: str) -> bool:
    values = {"key": key, "size": size, "sha256": sha256}
    return db.execute(SQL["receive_upload"], values).rowcount == 1


def _names(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> list[str]:
    return [row["key"] for row in db.execute(SQL[name], values)]
