"""Opens connections for strangers' URLs: resolves, judges every address, connects to those.

The name is looked up once for each connection, and the connection goes to what was judged: a
second look-up, which might say something else, never happens. TLS still checks the name.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import IPv6Network, ip_address
from typing import Any, Final

import httpcore

from server.errors import AddressForbidden, Unreachable
from server.net.addresses import Address, Guard, ends_of, plain

NOBODYS_V4: Final = ip_address("198.51.100.1")  # RFC 5737: for documentation, on no machine
NOBODYS_V6: Final = ip_address("3fff::1")  # RFC 9637
LAN_BITS: Final = 64  # RFC 4291: of a network's prefix
CONNECT_S: Final = 4.0  # for one address: then comes the host's next one

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a host, as text. Raises OSError."""


def check_address(guard: Guard, address: Address, port: int) -> None:
    """Raises AddressForbidden: the server must not connect there.

    What listens on this machine takes callers from itself for friends, on every port.
    """
    named, ends = guard.allows(address), ends_of(address)
    own = (port in guard.own_ports or not named) and any(map(is_own, ends))
    if guard.forbids(address) or own or (not named and any(map(is_neighbour, ends))):
        raise AddressForbidden("This address may not be called")


def is_own(address: Address) -> bool:
    """Whether the address is one of this machine's: a socket can be bound to no other.

    Unless the kernel lets sockets be bound to anything (ip_nonlocal_bind, on machines that share
    an address): then an address is its own that this machine would call from itself.
    """
    address = plain(address)
    if address.is_multicast or not _can_bind(address):  # groups can be bound to, and are nobody's
        return False
    nobodys = NOBODYS_V4 if address.version == 4 else NOBODYS_V6
    return not _can_bind(nobodys) or _calls_itself(address)


def is_neighbour(address: Address) -> bool:
    """Whether an IPv6 address is on this machine's own network: routers, printers and disks have
    public ones there, which nothing but the router's firewall keeps from others. Sends nothing."""
    address = plain(address)
    if address.version == 4:
        return False  # a network of theirs has private addresses, which nobody may call
    try:
        with _datagrams(address) as probe:
            probe.connect((str(address), 9))
            own = ip_address(probe.getsockname()[0])
    except OSError:
        return False
    return own in IPv6Network((address, LAN_BITS), strict=False)


def _can_bind(address: Address) -> bool:
    try:
        with _datagrams(address) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _calls_itself(address: Address) -> bool:
    """Whether the kernel would call an address from that very address. Sends nothing."""
    if address.is_loopback or address.is_unspecified:
        return True
    try:
        with _datagrams(address) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


def _datagrams(address: Address) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.socket(family, socket.SOCK_DGRAM)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network. Connects where the guard lets it, and nowhere else."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """A connection to the first address of `host` that takes one.

        `timeout` is not used: the caller has a deadline for all of it.

        Raises:
            AddressForbidden: one of its addresses, or more, must not be called.
            Unreachable: no such host, or none of its addresses answers.
        """
        addresses = await self._addresses(host, port)
        for address in addresses:
            check_address(self._guard, address, port)
        for address in addresses:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(
                    str(plain(address)), port, CONNECT_S, local_address, socket_options
                )
        raise Unreachable(f"{host} cannot be reached")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressForbidden("This address may not be called")

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks for it."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            texts = await self._resolve(host, port)
        except OSError:
            raise Unreachable(f"There is no host {host}") from None
        return [ip_address(text) for text in texts]
