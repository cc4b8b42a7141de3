"""Every route of an app, found in the app itself: a route that is added cannot be forgotten."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from server.api.signing import BASE
from server.api.v1.authentication import Authentication


class Served(NamedTuple):
    """A method and a path with its parameters in braces, as a client writes them."""

    method: str
    path: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def at(self, **values: str) -> str:
        return self.path.format(**values)


def routes_of(app: ASGIApp) -> list[Served]:
    """All of them, those behind middlewares too. HEAD is left out where GET is served."""
    found = []
    for prefix, inner in apps_in(app, "", set()):
        for route in inner.routes:
            assert isinstance(route, Route), f"{route}: what it serves is not known here"
            methods = set(route.methods or ()) - {"HEAD"}
            found += [Served(method, prefix + route.path) for method in sorted(methods)]
    assert len(found) == len(set(found))
    return found


def apps_in(part: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Starlette]]:
    """The Starlette apps that an app holds, or that its closure does, with their prefixes."""
    if id(part) in seen or not callable(part):
        return
    seen.add(id(part))
    if isinstance(part, Starlette):
        yield prefix, part
        return
    if isinstance(part, Authentication):
        prefix = BASE
    cells = [cell.cell_contents for cell in getattr(part, "__closure__", None) or ()]
    for inner in [*cells, *getattr(part, "__dict__", {}).values()]:
        yield from apps_in(inner, prefix, seen)
