"""Whose a request is, among those who share the server's places."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

HOME_BITS: Final = 64  # of an IPv6 address: what one customer is given


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
