"""Answers to requests with an Idempotency-Key, kept with the jobs that they made."""

import sqlite3

from msgspec import Struct

from store.statements import load

SQL = load("idempotency")


class AnsweredBefore(Exception):
    """The account has used this Idempotency-Key before; `body_hash` and `answer` tell how."""

    def __init__(self, body_hash: str, answer: str) -> None:
        super().__init__("answered before")
        self.body_hash = body_hash
        self.answer = answer


class IdempotencyRecord(Struct, frozen=True):
    """The answer to a request with an Idempotency-Key, kept with the job that it made.

    Answers from before `since` (unix seconds) are forgotten.
    """

    key: str
    body_hash: str
    answer: str
    since: float


def remember(
    db: sqlite3.Connection, account_id: str, record: IdempotencyRecord, now: float
) -> None:
    """Keeps an answer. Raises AnsweredBefore if there is one already."""
    check(db, account_id, record.key, record.since)
    db.execute(SQL["insert_first_answer"], {
        "account_id": account_id, "key": record.key, "body_hash": record.body_hash,
        "answer": record.answer, "now": now,
    })  # fmt: skip


def check(db: sqlite3.Connection, account_id: str, key: str, since: float) -> None:
    """Raises AnsweredBefore if this key was used since then."""
    row = db.execute(SQL["select_first_answer"], {"account_id": account_id, "key": key}).fetchone()
    if row is not None and row["created_at"] >= since:
        raise AnsweredBefore(row["body_hash"], row["answer"])
