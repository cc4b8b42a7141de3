"""Which addresses may be called. Pure: no socket, no DNS.

Tables of our own: `ipaddress.is_global` changes from one Python to the next, takes multicast,
site-local and tunnelled addresses for global ones, and never looks at the IPv4 address inside.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, Self

from msgspec import Struct

from server.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose registries (RFC 6890 and its updates), multicast, and the old class E.
SPECIAL_V4: Final = tuple(map(IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "168.63.129.16/32",  # of no registry: where a machine on Azure finds its own host
)))  # fmt: skip
# Whatever is outside of UNICAST is special: loopback, compatible (::/96), translated, unique
# local, link-local, site-local, multicast, segment routing, the local NAT64 prefix of RFC 8215.
UNICAST: Final = IPv6Network("2000::/3")
SPECIAL_V6: Final = tuple(map(IPv6Network, (
    "2001::/23",  # Teredo, benchmarks, ORCHID: RFC 4380, 5180, 7343
    "2001:db8::/32", "3fff::/20",  # documentation: RFC 3849, 9637
    "2002::/16",  # 6to4, RFC 3056: leads to the IPv4 address in it, and nobody serves there
)))  # fmt: skip
NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: how IPv6-only machines reach IPv4
ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214: bits 64 to 95 of a tunnel's end


def plain(address: Address) -> Address:
    """The address itself; of an IPv4-mapped one (RFC 4291) the IPv4 address that it spells."""
    return getattr(address, "ipv4_mapped", None) or address


def forbidden(address: Address) -> bool:
    """Whether an address, or one that it leads to, is no ordinary one of the public network.

    Source: the IANA registries of special-purpose addresses. NAT64 by a prefix of a network's
    own cannot be told from ordinary addresses.
    """
    address = plain(address)
    if isinstance(address, IPv4Address):
        return any(address in network for network in SPECIAL_V4)
    if address in NAT64:
        return forbidden(_last_four(address))
    if address.scope_id is not None or address not in UNICAST:
        return True
    if int(address) >> 32 & 0xFFFFFFFF in ISATAP and forbidden(_last_four(address)):
        return True
    return any(address in network for network in SPECIAL_V6)


def ends_of(address: Address) -> tuple[Address, ...]:
    """The address itself, and the IPv4 address that a translator or a tunnel would lead to."""
    address = plain(address)
    if isinstance(address, IPv4Address):
        return (address,)
    tunnelled = int(address) >> 32 & 0xFFFFFFFF in ISATAP
    return (address, _last_four(address)) if address in NAT64 or tunnelled else (address,)


def _last_four(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def parse_networks(texts: Sequence[str], setting: str) -> tuple[Network, ...]:
    """Networks and single addresses of a setting. Raises ConfigError for what is none."""
    try:
        return tuple(_plain_network(ip_network(text, strict=False)) for text in texts)
    except ValueError as error:
        raise ConfigError(f"settings: {setting}: {error}") from None


def _plain_network(network: Network) -> Network:
    """As addresses are compared: of IPv4-mapped ones the IPv4 network that they spell."""
    inner = plain(network.network_address)
    if isinstance(network, IPv4Network) or isinstance(inner, IPv6Address) or network.prefixlen < 96:
        return network
    return IPv4Network((inner, network.prefixlen - 96))


class Guard(Struct, frozen=True):
    """Which addresses may be called: ordinary public ones, and those in `allowed` networks; none
    in `denied` ones, and none of this machine's own unless they are allowed by name.

    own_ports: where this server listens; called on none of this machine's addresses, allowed or
        not.
    """

    allowed: tuple[Network, ...] = ()
    own_ports: tuple[int, ...] = ()
    denied: tuple[Network, ...] = ()

    @classmethod
    def of(
        cls, networks: Sequence[str], *own_ports: int, denied: Sequence[str] = ()
    ) -> Self:
        """From the settings. Raises ConfigError for what is no network."""
        return cls(
            parse_networks(networks, "fetch.allow_networks"), own_ports,
            parse_networks(denied, "fetch.deny_networks"),
        )  # fmt: skip

    def allows(self, address: Address) -> bool:
        """Whether the settings name this address as one that may be called."""
        return _within(address, self.allowed)

    def forbids(self, address: Address) -> bool:
        """Whether the server must not connect to this address, whatever the port and whosever."""
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return True
        if any(_within(end, self.denied) for end in ends_of(address)):
            return True
        return not self.allows(address) and forbidden(address)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    address = plain(address)
    return any(address in network for network in networks)
