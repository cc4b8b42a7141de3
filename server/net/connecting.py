"""Opens connections for strangers' URLs: resolves, judges every address, connects to those.

The name is looked up once for each connection, and the connection goes to what was judged: a
second look-up, which might say something else, never happens. TLS still checks the name.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

import httpcore

from server.errors import AddressForbidden, Unreachable
from server.net.addresses import Address, Guard, plain

CONNECT_S: Final = 4.0  # for one address: then comes the host's next one

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a host, as text. Raises OSError."""


def check_address(guard: Guard, address: Address, port: int) -> None:
    """Raises AddressForbidden: the server must not connect there."""
    if guard.forbids(address) or (port in guard.own_ports and is_own(address)):
        raise AddressForbidden("This address may not be called")


def is_own(address: Address) -> bool:
    """Whether the address is one of this machine's: a socket can be bound to no other."""
    address = plain(address)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


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
