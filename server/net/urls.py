"""From a URL's text to the endpoint that it means, or to a refusal. Pure: no DNS.

What is read here is what is judged and called; nobody reads the text a second time.
"""

import re
import socket
import string
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

from server.errors import AddressForbidden
from server.net.addresses import Address

MOST_URL: Final = 8192  # characters
PORTS: Final = {"http": 80, "https": 443}
NEVER: Final = re.compile(r"[\x00-\x20\x7f\\]")  # readers of URLs disagree about these
WITHIN: Final = re.compile(r"[/?#]")
MOST_AUTHORITY: Final = 300  # characters of a host and its port: a name has 253
AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:%]+))(?::([0-9]{0,5}))?")
NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # WHATWG: ends in a number


class Endpoint(Struct, frozen=True):
    """What a URL means. `target`: path and query, in ASCII; `address`: where the host is one."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def host_header(self) -> str:
        """RFC 9110, 7.2: the port only where it is not the scheme's own."""
        host = in_url(self.host)
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def in_url(host: str) -> str:
    """A host as URLs have it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def read_url(url: str) -> Endpoint:
    """Reads an absolute http or https URL.

    Raises:
        AddressForbidden: another scheme, a user name, no host, or no URL at all. One error for
            all of them: whoever asks wants to know whether the server would call it.
    """
    if len(url) > MOST_URL:
        raise AddressForbidden(f"A URL has {MOST_URL} characters at most")
    try:
        return _read(url)
    except ValueError:
        raise AddressForbidden("This is no URL that can be called") from None


def _read(url: str) -> Endpoint:
    # Before anything is normalised: what that takes grows with the square of a name's length.
    if NEVER.search(url) or len(WITHIN.split(url.partition("//")[2], 1)[0]) > MOST_AUTHORITY:
        raise ValueError(url)
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise AddressForbidden("Only http and https URLs are called")
    if "@" in parts.netloc:
        raise AddressForbidden("A URL with a user name is not called")
    match = AUTHORITY.fullmatch(parts.netloc)
    if match is None:
        raise ValueError(parts.netloc)
    bracketed, name, digits = match.groups()
    port = int(digits) if digits else PORTS[parts.scheme]
    if not 1 <= port <= 65535:
        raise ValueError(port)
    host, address = _read_host(name) if name else _read_bracketed(bracketed)
    # an escape stays as it is, and so does punctuation: only what is not ASCII is escaped
    target = quote(parts.path or "/", safe=string.punctuation)
    query = quote(parts.query, safe=string.punctuation)
    return Endpoint(parts.scheme, host, port, f"{target}?{query}" if query else target, address)


def _read_bracketed(text: str) -> tuple[str, Address | None]:
    address = IPv6Address(text)
    return str(address), address


def _read_host(text: str) -> tuple[str, Address | None]:
    """A host's name in lower-case ASCII (IDNA 2003), or the IPv4 address that it spells.

    Numbers are read as the system's resolver reads them (inet_aton: 0x7f.1, 017700000001,
    2130706433), and what ends in a number without being an address is refused, as in the
    WHATWG URL standard. Raises ValueError.
    """
    host = text.encode("idna").decode().lower().removesuffix(".")
    if NAME.fullmatch(host) is None:
        raise ValueError(host)
    if NUMBER.fullmatch(host) is None:
        return host, None
    try:
        address = IPv4Address(socket.inet_aton(host))
    except OSError:
        raise ValueError(host) from None
    return str(address), address
