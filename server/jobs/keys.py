"""API keys as text: how they look, how one is made, and what is kept of one. Pure."""

import hashlib
import secrets
import zlib

from server.credentials import LIVE_KEY, SHOWN, TEST_KEY

SCOPES = ("pipeline", "stemsplit", "admin")  # the two APIs, and what is the operator's alone
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM = 28  # characters, of 5.95 bits each: 166 bits
CHECK = 6  # characters of CRC-32, so that a mistyped key is told without a look into the database


def new_key(test: bool = False) -> str:
    """A new key of 166 random bits."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return f"{TEST_KEY if test else LIVE_KEY}{body}{_check(body)}"


def well_formed(key: str) -> bool:
    """Whether this could be one of our keys."""
    body = key[len(LIVE_KEY) : -CHECK]
    return (
        key.startswith((LIVE_KEY, TEST_KEY))
        and len(body) == RANDOM
        and key.isascii()
        and key[-CHECK:] == _check(body)
    )


def hash_of(key: str) -> str:
    """What is stored. A key is random, so that one fast hash is all that it needs."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown(key: str) -> str:
    """The first characters, which people name a key by."""
    return key[:SHOWN]


def is_test(shown: str) -> bool:
    """Whether this is, or begins, a test key: its jobs run on the starter and cost nothing."""
    return shown.startswith(TEST_KEY)


def _check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECK):
        number, digit = divmod(number, len(ALPHABET))
        digits += ALPHABET[digit]
    return digits
