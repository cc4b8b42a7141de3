"""Places that callers share fairly: none of them can take all, however many it asks for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

from server.errors import ServerBusy

RETRY_AFTER: Final = 5  # seconds
HOME_BITS: Final = 64  # of an IPv6 address: what one customer is given


class SharedPlaces:
    """`total` places. A caller may have as many as are left free beside its own: one alone half of
    them, two a third each; so there is always one for who comes next.

    The rule is that of dynamic thresholds for shared buffers (Choudhury and Hahne, IEEE/ACM
    Transactions on Networking 6, 1998), with alpha 1.
    """

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._taken: Counter[str] = Counter()

    def take(self, caller: str) -> None:
        """A place, until `leave`. Raises ServerBusy."""
        if self._taken[caller] >= self._total - self._taken.total():
            raise ServerBusy(f"Too many {self._what}; try again later", RETRY_AFTER)
        self._taken[caller] += 1

    def leave(self, caller: str) -> None:
        """Gives a place back."""
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Holds a place meanwhile. Raises ServerBusy."""
        self.take(caller)
        try:
            yield
        finally:
            self.leave(caller)


def caller_of(scope: Scope, account: str | None = None) -> str:
    """Who calls: the account, or where there is none the address; of IPv6 the network of one
    customer."""
    if account is not None:
        return account
    host: str = (scope.get("client") or ("",))[0]
    return network_of(host)


def network_of(host: str) -> str:
    """The addresses that are one caller's."""
    try:
        address = ip_address(host)
    except ValueError:  # a unix socket, or a name
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> HOME_BITS << HOME_BITS)}/{HOME_BITS}"
    return host
