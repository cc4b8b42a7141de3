"""What an account may still spend, and how that came about."""

from collections.abc import Sequence
from typing import Literal, cast

from server.api.ports import Booked
from server.api.v1.wire.common import Camel, Pagination, Time, pagination, timestamp

Kind = Literal["GRANT", "HOLD", "CAPTURE", "RELEASE", "REFUND"]


class BalanceResponse(Camel, frozen=True):
    """`GET /balance`."""

    balance_seconds: int
    balance_minutes: int
    balance_formatted: str
    updated_at: Time


class LedgerEntry(Camel, frozen=True):
    """One entry of `GET /ledger`, with the balance after it.

    A HOLD takes `seconds` off the balance when a job is accepted; its RELEASE gives them back, its
    CAPTURE leaves them taken. GRANT and REFUND add. `jobId` is null of a GRANT.
    """

    kind: Kind
    seconds: int
    balance_seconds: int
    job_id: str | None
    created_at: Time


class LedgerResponse(Camel, frozen=True):
    """`GET /ledger`."""

    entries: list[LedgerEntry]
    pagination: Pagination


def balance(seconds: int, changed: float) -> BalanceResponse:
    """An account's balance."""
    return BalanceResponse(
        balance_seconds=seconds, balance_minutes=seconds // 60,
        balance_formatted=formatted(seconds), updated_at=timestamp(changed),
    )  # fmt: skip


def ledger(entries: Sequence[Booked], total: int, limit: int, offset: int) -> LedgerResponse:
    """A page of an account's ledger."""
    return LedgerResponse(
        entries=[
            LedgerEntry(
                kind=cast(Kind, entry.kind.upper()), seconds=entry.seconds,
                balance_seconds=entry.balance, job_id=entry.job_id,
                created_at=timestamp(entry.created_at),
            )
            for entry in entries
        ],
        pagination=pagination(len(entries), total, limit, offset),
    )  # fmt: skip


def formatted(seconds: int) -> str:
    """A balance in words: `5 minutes`, `1 minute 30 seconds`, `0 seconds`."""
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in zip(divmod(seconds, 60), ("minute", "second"), strict=True)
        if count
    ]
    return " ".join(parts) or "0 seconds"
