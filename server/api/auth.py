"""The key in a request, which both APIs take."""

from starlette.types import Scope


def bearer_key(scope: Scope) -> str | None:
    """The key of `Authorization: Bearer …`, or None."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            return key.strip() if scheme.lower() == "bearer" else None
    return None
