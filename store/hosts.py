"""Which host a URL calls, for SQL: only to tell hosts apart, never to judge them."""

from urllib.parse import urlsplit
from zlib import crc32

LANES = 16  # of a host: many enough that a URL which hangs delays few others, and no more than that


def host_of(url: str | None) -> str:
    """The host's name in lower case, without port and final dot; all of what is no URL."""
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        host = None
    return (host or url or "").rstrip(".")


def lane_of(url: str) -> str:
    """Where the events of a callback wait: one of the host's LANES, always the same for one URL."""
    return f"{host_of(url)} {crc32(url.encode()) % LANES}"
