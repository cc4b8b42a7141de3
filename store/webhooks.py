"""Webhooks, and the outbox of what they are still to be told.

Rows of the outbox are made by the jobs table's own trigger, when a job ends.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from store.connection import Database
from store.deliveries import Attempt, book_attempt
from store.forgetting import MOST, forget
from store.lanes import ACCOUNTS, NOBODYS, Rotation
from store.sealing import PREFIX, Sealer, Unsealed
from store.statements import load

SQL = load("webhooks")


class Webhook(Struct, frozen=True):
    """A registered endpoint. `secret`: empty where many are listed. `fail_count`: failures in a
    row. Times are unix seconds."""

    id: str
    account_id: str
    url: str
    events: list[str]
    secret: str
    created_at: float
    is_active: bool = True
    fail_count: int = 0
    last_error: str | None = None
    last_called_at: float | None = None


class Delivery(Struct, frozen=True):
    """One event for one endpoint. `webhook_id` None: the job's own callback address; `job_id`
    None: a test. `by_hand`: how often somebody has asked for it to be sent. `account_id` None: the
    job is nobody's."""

    id: str
    job_id: str | None
    webhook_id: str | None
    event: str
    attempt: int
    created_at: float
    by_hand: int = 0
    account_id: str | None = None


class FailedDelivery(Struct, frozen=True):
    """An attempt that failed.

    `next_at`: when the next one is, None if there is none. `gone`: the endpoint wants no more.
    `limit`: failures in a row that disable a webhook.
    """

    error: str
    next_at: float | None
    gone: bool
    limit: int


class Shares(Struct, frozen=True):
    """How many deliveries may be under way at once: at one endpoint, at one host for one account,
    for one account, and for all jobs that are nobody's."""

    per_endpoint: int
    per_host: int
    per_account: int
    of_nobody: int


class WebhookRepository:
    """Webhooks and deliveries of one database, which knows their secrets sealed alone."""

    def __init__(self, database: Database, sealer: Sealer | Unsealed | None = None) -> None:
        self._db = database
        self._sealer = sealer or Unsealed()
        self._lanes = (Rotation(*NOBODYS), Rotation(*ACCOUNTS))

    async def seal_all(self) -> int:
        """Seals the secrets that an older stembox has kept open; how many there were."""
        return await self._db.write(_seal_all, self._sealer)

    async def add(self, webhook: Webhook, at_most: int) -> bool:
        """Stores a new webhook. False: the account has `at_most` already."""
        secret = self._sealer.seal(webhook.secret, webhook.id)
        return await self._db.write(_add, structs.replace(webhook, secret=secret), at_most)

    async def of(self, account_id: str) -> list[Webhook]:
        """An account's webhooks, the oldest first, without their secrets."""
        return await self._db.read(_of, account_id)

    async def get(self, webhook_id: str) -> Webhook | None:
        """The webhook, or None. Raises Unreadable: its secret was sealed with another key."""
        found = await self._db.read(_get, webhook_id)
        if found is None:
            return None
        return structs.replace(found, secret=self._sealer.open(found.secret, found.id))

    async def delete(self, account_id: str, webhook_id: str) -> bool:
        """Deletes a webhook, what was still to be sent to it, and its history: that first and bit
        by bit, since a week of it may be long. False: there is none."""
        values = {"id": webhook_id, "account_id": account_id, "most": MOST}
        while await self._db.write(_execute, "delete_history", values) == MOST:
            pass
        return await self._db.write(_execute, "delete_webhook", values) == 1

    async def due(self, now: float, shares: Shares) -> list[Delivery]:
        """Deliveries whose time has come: every host's first one first, the longest overdue of
        them before the others. Where very many wait for more endpoints than a look can bear
        (`more`), the next look is into the others."""
        return await self._db.read(_due, self._lanes, now, shares)

    @property
    def more(self) -> bool:
        """Whether the last look for what is due has left some endpoints out."""
        return any(rotation.cut for rotation in self._lanes)

    async def next_time(self, now: float) -> float | None:
        """When after `now` the next delivery is due; None if nothing waits for its time."""
        return await self._db.read(_next_time, now)

    async def forget(self, before: float) -> int:
        """Deletes deliveries of before this time that are over. Returns how many."""
        return await forget(self._db, SQL["forget_deliveries"], before)

    async def delivered(self, delivery: Delivery, attempt: Attempt, now: float) -> None:
        """Books a success: the endpoint's count of failures begins anew."""
        await self._db.write(_delivered, delivery, attempt, now)

    async def missed(
        self, delivery: Delivery, attempt: Attempt, failure: FailedDelivery, now: float
    ) -> None:
        """Books a failure; too many in a row, or a `gone`, disable the webhook. A test's do not."""
        await self._db.write(_missed, delivery, attempt, failure, now)


def _add(db: sqlite3.Connection, webhook: Webhook, at_most: int) -> bool:
    values = {"account_id": webhook.account_id}
    if db.execute(SQL["count_webhooks"], values).fetchone()[0] >= at_most:
        return False
    db.execute(SQL["insert_webhook"], values | {
        "id": webhook.id, "url": webhook.url, "events": json.dumps(webhook.events),
        "secret": webhook.secret, "now": webhook.created_at,
    })  # fmt: skip
    return True


def _webhook(row: sqlite3.Row) -> Webhook:
    values = dict(row)
    return Webhook(**values | {"events": json.loads(values["events"]),
                               "is_active": bool(values["is_active"])})  # fmt: skip


def _of(db: sqlite3.Connection, account_id: str) -> list[Webhook]:
    rows = db.execute(SQL["select_webhooks"], {"account_id": account_id})
    return [structs.replace(_webhook(row), secret="") for row in rows]


def _seal_all(db: sqlite3.Connection, sealer: Sealer | Unsealed) -> int:
    rows = db.execute(SQL["select_unsealed"], {"prefix": PREFIX}).fetchall()
    for row in rows:
        values = {"id": row["id"], "secret": sealer.seal(row["secret"], row["id"])}
        db.execute(SQL["seal_webhook"], values)
    return len(rows)


def _get(db: sqlite3.Connection, webhook_id: str) -> Webhook | None:
    row = db.execute(SQL["select_webhook"], {"id": webhook_id}).fetchone()
    return None if row is None else _webhook(row)


def _execute(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
    return db.execute(SQL[name], values).rowcount


def _due(
    db: sqlite3.Connection, rotations: Iterable[Rotation], now: float, shares: Shares
) -> list[Delivery]:
    lanes = [lane for rotation in rotations for lane in rotation.look(db)]
    values = {"now": now, "lanes": json.dumps(lanes), "per_lane": 2 * shares.per_host}
    rows = db.execute(SQL["select_due"], values | structs.asdict(shares)).fetchall()
    return [Delivery(**dict(row)) for row in rows]


def _next_time(db: sqlite3.Connection, now: float) -> float | None:
    row = db.execute(SQL["select_next_time"], {"now": now}).fetchone()
    return None if row is None else row["next_at"]


def _delivered(db: sqlite3.Connection, delivery: Delivery, attempt: Attempt, now: float) -> None:
    book_attempt(db, delivery.id, attempt)
    db.execute(SQL["delivered"], {"id": delivery.id})
    values = {"id": delivery.webhook_id, "now": now, "by_hand": delivery.by_hand}
    db.execute(SQL["called_well"], values)


def _missed(
    db: sqlite3.Connection, delivery: Delivery, attempt: Attempt, failure: FailedDelivery,
    now: float,
) -> None:  # fmt: skip
    book_attempt(db, delivery.id, attempt)
    told: dict[str, Any] = {
        "id": delivery.id, "error": failure.error, "next_at": failure.next_at,
        "attempt": delivery.attempt, "by_hand": delivery.by_hand,
    }  # fmt: skip
    db.execute(SQL["not_delivered"], told)
    values = {"id": delivery.webhook_id, "error": failure.error, "now": now,
              "gone": int(failure.gone), "limit": failure.limit,
              "counts": int(delivery.job_id is not None)}  # fmt: skip
    db.execute(SQL["called_badly"], values)
    db.execute(SQL["give_up_of"], {"id": delivery.webhook_id})
