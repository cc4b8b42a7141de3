"""Every error's body."""

from server.api.v1.wire.common import Camel


class ErrorDetail(Camel, frozen=True, omit_defaults=True):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    required_seconds: int | None = None
    purchase_url: str | None = None


class ErrorResponse(Camel, frozen=True):
    """Every error."""

    error: ErrorDetail
