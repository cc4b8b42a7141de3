"""Which host a URL calls, for SQL: only to tell hosts apart, never to judge them."""

from urllib.parse import urlsplit


def host_of(url: str | None) -> str:
    """The host's name in lower case, without port and final dot; all of what is no URL."""
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        host = None
    return (host or url or "").rstrip(".")
