"""Who calls: finding the key in a request, and the pipeline API's two modes."""

from starlette.requests import Request
from starlette.types import Scope

from server.api.ports import Accounts


def bearer_key(scope: Scope) -> str | None:
    """The key of `Authorization: Bearer …`, or None."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            return key.strip() if scheme.lower() == "bearer" else None
    return None


class PipelineGuard:
    """The account behind a pipeline request: None where everybody may call."""

    def __init__(self, auth: str, accounts: Accounts) -> None:
        self._open = auth == "none"
        self._accounts = accounts

    async def account(self, request: Request) -> str | None:
        """Raises MissingKey, InvalidKey, RevokedKey."""
        if self._open:
            return None
        key = request.headers.get("x-api-key") or bearer_key(request.scope)
        return (await self._accounts.authenticate(key)).account_id
