"""Which addresses may be called. Pure: no socket, no DNS.

`ipaddress.is_global` alone is not enough: it takes no look at the IPv4 address that an IPv6
address carries, and calls multicast, site-local and NAT64 addresses global.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Self

from msgspec import Struct

from server.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Beside what `is_global` refuses. RFC 6890 and its updates, the IANA special-purpose registries.
SPECIAL: Final = tuple(map(ipaddress.ip_network, (
    "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
    "224.0.0.0/4", "240.0.0.0/4",
    "::/8",            # unspecified, loopback, compatible and translated addresses
    "100::/64", "2001::/23", "3fff::/20", "5f00::/16", "fc00::/7", "fe00::/8", "ff00::/8",
)))  # fmt: skip
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215
COMPATIBLE: Final = ipaddress.ip_network("::/96")  # RFC 4291, deprecated
ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214: the interface's upper half


def carried(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that an IPv6 address may lead to."""
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    last = IPv4Address(number & 0xFFFFFFFF)
    if address in NAT64 or address in COMPATIBLE or (number >> 32) & 0xFFFFFFFF in ISATAP:
        yield last


def special(address: Address) -> bool:
    """Whether an address, or one that it carries, is no ordinary one of the public network."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address in LOCAL_NAT64:
            return True
        inner = list(carried(address))
        if inner and (address in NAT64 or address.ipv4_mapped is not None):
            return any(map(special, inner))  # nothing but another spelling of the inner address
        if any(map(special, inner)):
            return True
    return not address.is_global or any(
        address in network for network in SPECIAL if network.version == address.version
    )


class Guard(Struct, frozen=True):
    """Which addresses may be called: ordinary public ones, and those of `allowed` networks.

    `own_port` is this server's: on an allowed network's loopback it is not called either.
    """

    allowed: tuple[Network, ...] = ()
    own_port: int = 0

    @classmethod
    def of(cls, networks: Sequence[str], own_port: int) -> Self:
        """From the settings. Raises ConfigError for what is no network."""
        try:
            parsed = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        except ValueError as error:
            raise ConfigError(f"settings: fetch.allow_networks: {error}") from None
        return cls(parsed, own_port)

    def forbids(self, address: Address, port: int) -> bool:
        """Whether the server must not connect to this address."""
        plain = next(iter(carried(address)), None) if _mapped(address) else address
        assert plain is not None
        if any(plain in network for network in self.allowed if network.version == plain.version):
            return port == self.own_port and (plain.is_loopback or plain.is_unspecified)
        return special(address)


def _mapped(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None
