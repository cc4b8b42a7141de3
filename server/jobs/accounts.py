"""Who calls: API keys to accounts, and what an account may still spend."""

import hmac
import time
from collections import OrderedDict

from server.errors import InvalidKey, KeyNotAllowed, MissingKey, RevokedKey
from server.jobs import keys
from store import AccountRepository, CreditRepository
from store.accounts import Key
from store.credits import Booked

__all__ = ["Accounts", "Booked"]

CACHED_SECONDS = 0.5  # how long a key that was revoked elsewhere may go on at the most
CACHED_KEYS = 10_000


class Accounts:
    """The accounts of one server, as its requests need them."""

    def __init__(self, accounts: AccountRepository, credits: CreditRepository) -> None:
        self._accounts = accounts
        self._credits = credits
        self._cache: OrderedDict[str, tuple[float, Key]] = OrderedDict()

    async def authenticate(self, key: str | None, scope: str) -> Key:
        """The stored key that this text is, if it opens `scope` (one of keys.SCOPES).

        Raises:
            MissingKey, InvalidKey, RevokedKey, KeyNotAllowed.
        """
        if not key:
            raise MissingKey("Missing API key. Include 'Authorization: Bearer sk_live_xxx' header.")
        wanted = keys.hash_of(key)
        found = self._cached(wanted)
        if found is None and keys.well_formed(key):
            found = await self._look_up(wanted)
        if found is None or not hmac.compare_digest(found.hash, wanted):
            raise InvalidKey("Invalid API key.")
        if found.revoked_at is not None:
            raise RevokedKey("This API key has been revoked.")
        if scope not in found.scopes.split(","):
            raise KeyNotAllowed(f"This API key is not for the {scope} API.")
        return found

    async def balance(self, account_id: str) -> tuple[int, float]:
        """Seconds that are neither captured nor held, and when that changed last."""
        seconds, changed = await self._credits.balance(account_id)
        return seconds, changed or time.time()

    async def ledger(self, account_id: str, limit: int, offset: int) -> tuple[list[Booked], int]:
        """A page of an account's ledger, newest entry first, and how many there are."""
        return await self._credits.page(account_id, limit, offset)

    def forget_keys(self) -> None:
        """Looks every key up anew: one was revoked."""
        self._cache.clear()

    def _cached(self, wanted: str) -> Key | None:
        until, key = self._cache.get(wanted, (0.0, None))
        return key if time.monotonic() < until else None

    async def _look_up(self, wanted: str) -> Key | None:
        asked = time.monotonic()  # what is found may be as old as this
        found = await self._accounts.key(wanted)
        if found is not None:
            self._cache[wanted] = (asked + CACHED_SECONDS, found)
            self._cache.move_to_end(wanted)
            if len(self._cache) > CACHED_KEYS:
                self._cache.popitem(last=False)
        return found
