"""Who really calls, behind proxies: their word counts, and nobody else's.

Without it anybody could call himself another address, and have as many limits as he likes.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from server.net.addresses import Address, Network, plain

SCHEMES: Final = ("http", "https")
MOST_HOPS: Final = 32  # that are followed: no request has gone through so many proxies of one owner


class TrustedProxies:
    """Puts client and scheme into the request's scope as a trusted proxy tells them.

    networks: where the proxies are. `X-Forwarded-For` and `X-Forwarded-Proto` are read.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[Network]) -> None:
        self._app = app
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (peer := scope.get("client")) is not None:
            client = client_of(peer[0], _values(scope, b"x-forwarded-for"), self._networks)
            if is_within(read_address(peer[0]), self._networks):
                port = peer[1] if client == peer[0] else 0
                scope = {**scope, "client": (client, port), "scheme": _scheme(scope)}
        await self._app(scope, receive, send)


def client_of(peer: str, hops: Sequence[str], networks: Sequence[Network]) -> str:
    """The address that calls: the last one that no trusted proxy has, from the connection back.

    peer: the connection's other end. hops: what `X-Forwarded-For` says, the nearest one last. A
    hop that is no address ends the search: who said it is all that is known. So do too many hops.
    """
    client = peer
    for hop in reversed(hops[-MOST_HOPS:]):
        found = read_address(hop)
        if not is_within(read_address(client), networks) or found is None:
            break
        client = str(found)
    return client


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether it is an address, and of one of the networks."""
    return address is not None and any(address in network for network in networks)


def read_address(text: str) -> Address | None:
    """An address as proxies write it, with a port or without; None for all else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return plain(ip_address(text))
    except ValueError:
        return None


def _scheme(scope: Scope) -> str:
    told = _values(scope, b"x-forwarded-proto")
    scheme: str = told[-1].strip().lower() if told else ""
    return scheme if scheme in SCHEMES else scope["scheme"]


def _values(scope: Scope, wanted: bytes) -> list[str]:
    """The parts of a header that is a list, of all its lines in order."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [part for line in lines for part in line.split(",")]
