"""What an account may still spend."""

from server.api.v1.wire.common import Camel, Time, timestamp


class BalanceResponse(Camel, frozen=True):
    """`GET /balance`."""

    balance_seconds: int
    balance_minutes: int
    balance_formatted: str
    updated_at: Time


def balance(seconds: int, changed: float) -> BalanceResponse:
    """An account's balance."""
    return BalanceResponse(
        balance_seconds=seconds, balance_minutes=seconds // 60,
        balance_formatted=formatted(seconds), updated_at=timestamp(changed),
    )  # fmt: skip


def formatted(seconds: int) -> str:
    """A balance in words: `5 minutes`, `1 minute 30 seconds`, `0 seconds`."""
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in zip(divmod(seconds, 60), ("minute", "second"), strict=True)
        if count
    ]
    return " ".join(parts) or "0 seconds"
