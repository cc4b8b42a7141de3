"""Parameters of a query, each checked as it is read. One that comes twice means nothing."""

import math
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request

from server.errors import InvalidRequest

MOST_PARAMETERS: Final = 128  # of a query, strangers' included: each costs much more than its bytes


def query_of(request: Request) -> QueryParams:
    """All parameters of a query. Raises InvalidRequest: they are too many to be read."""
    if request.scope["query_string"].count(b"&") >= MOST_PARAMETERS:
        raise InvalidRequest(f"A query may have {MOST_PARAMETERS} parameters at the most")
    return request.query_params


def text(request: Request, name: str) -> str | None:
    """A parameter as it came, None if it did not. Raises InvalidRequest."""
    values = query_of(request).getlist(name)
    if len(values) > 1:
        raise InvalidRequest(f"{name} must be given once")
    return values[0] if values else None


def names(request: Request, name: str) -> list[str]:
    """Names that are separated by commas, each at most once. Raises InvalidRequest."""
    found = [part for part in (text(request, name) or "").split(",") if part]
    if len(set(found)) < len(found):
        raise InvalidRequest(f"{name} must name each track once")
    return found


def number(request: Request, name: str, default: float, least: float, most: float) -> float:
    """A number from `least` to `most`. Raises InvalidRequest."""
    value = text(request, name)
    if value is None:
        return default
    try:
        found = float(value) if value.isascii() and "_" not in value else math.nan
    except ValueError:
        found = math.nan
    if not least <= found <= most:
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}")
    return found


def choice(request: Request, name: str, allowed: Iterable[str], default: str) -> str:
    """One of some words. Raises InvalidRequest."""
    value = text(request, name)
    if value is None:
        return default
    if value not in allowed:
        raise InvalidRequest(f"{name} must be one of {', '.join(allowed)}")
    return value
