"""Deliveries as the account that they belong to sees them: what became of each, sending one again,
testing a webhook. What is due, and how an attempt ends, is `webhooks`' business.
"""

import sqlite3
from collections.abc import Callable

from msgspec import Struct

from store import idempotency
from store.connection import Database
from store.idempotency import IdempotencyRecord
from store.lists import find_spot
from store.statements import load

SQL = load("deliveries")
KEPT_ATTEMPTS = 20  # of one delivery, the last ones


class DeliveredBefore(Exception):
    """The endpoint has taken this event: there is nothing to send again."""


class TooManyTests(Exception):
    """As many test events of this webhook wait as may."""


class Attempt(Struct, frozen=True):
    """One attempt at a delivery. `status`: what the endpoint answered, None for nothing; `error`:
    None if it took the event. `began_at` in unix seconds; `number` from 1 on."""

    began_at: float
    seconds: float
    status: int | None
    error: str | None
    number: int = 0


class SentEvent(Struct, frozen=True):
    """One event for one endpoint, and the last attempts at it, in order.

    `job_id` None: a test; `webhook_id` None: the job's own callback address. `state`: waiting (for
    `next_at`), delivered or given_up.
    """

    id: str
    webhook_id: str | None
    job_id: str | None
    url: str
    event: str
    state: str
    next_at: float
    last_error: str | None
    created_at: float
    attempts: list[Attempt]


class Once(Struct, frozen=True):
    """An Idempotency-Key with the hash of what it came with; older ones than `since` (unix seconds)
    are forgotten."""

    key: str
    body_hash: str
    since: float


Render = Callable[[SentEvent], bytes]
"""Makes the answer that is kept for an Idempotency-Key. Pure: it runs inside the transaction."""


class DeliveryRepository:
    """The deliveries of one database, account by account."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(
        self, account_id: str, webhook_id: str | None, limit: int, offset: int
    ) -> tuple[list[SentEvent], int]:
        """A page of an account's deliveries, the newest first, and how many there are in all."""
        return await self._db.read(_page, account_id, webhook_id, limit, offset)

    async def send_again(
        self, account_id: str, delivery_id: str, now: float, once: Once | None, render: Render
    ) -> bytes | None:
        """Makes a delivery that has not arrived due at once; returns what `render` makes of it.
        None: the account has no such delivery.

        Raises:
            DeliveredBefore.
            AnsweredBefore: the Idempotency-Key was used; nothing is sent.
        """
        return await self._db.write(_send_again, account_id, delivery_id, now, once, render)

    async def test(
        self, account_id: str, webhook_id: str, at_most: int, now: float, once: Once | None,
        render: Render,
    ) -> bytes | None:  # fmt: skip
        """Puts a test event for a webhook into the outbox; returns as `send_again`. None: the
        account has no such webhook.

        Raises:
            TooManyTests: `at_most` wait already.
            AnsweredBefore.
        """
        return await self._db.write(_test, account_id, webhook_id, at_most, now, once, render)


def book_attempt(db: sqlite3.Connection, delivery_id: str, attempt: Attempt) -> None:
    """Keeps an attempt, within a transaction of the caller's."""
    db.execute(SQL["insert_attempt"], {
        "id": delivery_id, "began_at": attempt.began_at, "seconds": attempt.seconds,
        "status": attempt.status, "error": attempt.error,
    })  # fmt: skip
    db.execute(SQL["forget_attempts"], {"id": delivery_id, "kept": KEPT_ATTEMPTS})


def _page(
    db: sqlite3.Connection, account_id: str, webhook_id: str | None, limit: int, offset: int
) -> tuple[list[SentEvent], int]:
    spot = find_spot(db, "deliveries", account_id, webhook_id, offset)
    statement = "select_page" if webhook_id is None else "select_page_of_webhook"
    rows = db.execute(SQL[statement], {
        "account_id": account_id, "kind": webhook_id, "limit": limit, "block": spot.block,
        "skip": spot.skip,
    }).fetchall()  # fmt: skip
    return [_sent_event(db, row) for row in rows], spot.total


def _sent_event(db: sqlite3.Connection, row: sqlite3.Row) -> SentEvent:
    attempts = db.execute(SQL["select_attempts"], {"id": row["id"]}).fetchall()
    return SentEvent(**dict(row), attempts=[Attempt(**dict(attempt)) for attempt in attempts])


def _find(db: sqlite3.Connection, account_id: str, delivery_id: str) -> SentEvent | None:
    values = {"id": delivery_id, "account_id": account_id}
    row = db.execute(SQL["select_one"], values).fetchone()
    return None if row is None else _sent_event(db, row)


def _send_again(
    db: sqlite3.Connection, account_id: str, delivery_id: str, now: float, once: Once | None,
    render: Render,
) -> bytes | None:  # fmt: skip
    _check(db, account_id, once)
    found = _find(db, account_id, delivery_id)
    if found is None:
        return None
    if found.state == "delivered":
        raise DeliveredBefore(delivery_id)
    db.execute(SQL["send_again"], {"id": delivery_id, "now": now})
    return _answer(db, account_id, delivery_id, now, once, render)


def _test(
    db: sqlite3.Connection, account_id: str, webhook_id: str, at_most: int, now: float,
    once: Once | None, render: Render,
) -> bytes | None:  # fmt: skip
    _check(db, account_id, once)
    values = {"account_id": account_id, "webhook_id": webhook_id}
    if db.execute(SQL["count_tests"], values).fetchone()[0] >= at_most:
        raise TooManyTests(webhook_id)
    row = db.execute(SQL["insert_test"], values | {"now": now}).fetchone()
    return None if row is None else _answer(db, account_id, row["id"], now, once, render)


def _check(db: sqlite3.Connection, account_id: str, once: Once | None) -> None:
    if once is not None:
        idempotency.check(db, account_id, once.key, once.since)


def _answer(
    db: sqlite3.Connection, account_id: str, delivery_id: str, now: float, once: Once | None,
    render: Render,
) -> bytes:  # fmt: skip
    """What is said of a delivery, kept for the Idempotency-Key if there is one."""
    found = _find(db, account_id, delivery_id)
    assert found is not None
    answer = render(found)
    if once is not None:
        record = IdempotencyRecord(once.key, once.body_hash, answer.decode(), once.since)
        idempotency.remember(db, account_id, record, now)
    return answer
