"""Idempotency-Keys: what makes two orders the same one. Pure."""

import hashlib
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from server.errors import IdempotencyConflict
from server.jobs.orders import Order
from store.idempotency import AnsweredBefore

ANSWER_HOURS: Final = 24  # for which an Idempotency-Key is remembered
LATER: Final = frozenset(("test", "stems", "model", "whole"))  # what orders did not always have
CALLER: Final = frozenset(("account_id", "base_url"))  # what an order has not from its body
CANONICAL: Final = msgspec.json.Encoder(order="deterministic")


class Idempotency(NamedTuple):
    """An Idempotency-Key, and the hash of what was meant by the body that it came with."""

    key: str
    body_hash: str


def meaning(order: Order) -> str:
    """A hash of what an order asks for, whatever its JSON looked like.

    Key order, white space, escapes, defaults and the spelling of numbers are gone when a body has
    been read, but for 1.0 and 1: one number, as in JavaScript.
    """
    asked = {
        name: _plain(getattr(order, name))
        for name in order.__struct_fields__
        # hashes of before stay
        if name not in CALLER and (name not in LATER or getattr(order, name))
    }  # fmt: skip
    return hashlib.sha256(CANONICAL.encode(asked)).hexdigest()


def first_answer(before: AnsweredBefore, asked: Idempotency, what: str) -> bytes:
    """What the first request with this key was answered. Raises IdempotencyConflict: that one
    meant another `what`."""
    if before.body_hash != asked.body_hash:
        raise IdempotencyConflict(f"This Idempotency-Key was used with another {what}") from None
    return before.answer.encode()


def difference(order: Order, before: AnsweredBefore) -> str:
    """What was another when the Idempotency-Key of an order came first: the body, or the key alone
    that it was sent with."""
    by_other_key = structs.replace(order, test=not order.test)
    same_body = meaning(by_other_key) == before.body_hash
    return "kind of API key, live or test" if same_body else "request body"


def meaning_of(*what: str) -> str:
    """A hash of what a request without a body asks for, in words."""
    return hashlib.sha256(CANONICAL.encode(what)).hexdigest()


def _plain(value: Any) -> Any:
    """The value with its whole numbers as integers: by their shortest digits, so 1e23 is 10^23."""
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
