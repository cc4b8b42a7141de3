"""What every operation of the StemSplit API's document is put together from."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from server.api.v1.requests import MOST_KEY, MOST_OFFSET, MOST_PAGE, PAGE

LIMIT_HEADERS: Final = (
    ("X-RateLimit-Limit", "integer", "Requests allowed per minute"),
    ("X-RateLimit-Remaining", "integer", "Requests remaining in the current window"),
    ("X-RateLimit-Reset", "integer", "Unix time at which the window ends"),
    ("RateLimit", "string", 'The same for standard clients: `"key";r=remaining;t=seconds left`'),
    ("RateLimit-Policy", "string", 'What is allowed: `"key";q=requests;w=seconds`'),
    ("Retry-After", "integer", "Seconds until the window ends"),
)
SENTENCES: Final = {
    400: "The request, or the audio, cannot be taken: `error.code` says why",
    401: "No API key, or one that this server never made",
    402: "Too few credits: `requiredSeconds` says how many it takes",
    403: "The API key has been revoked or is not for this API, or the signed URL is not valid "
    "any more",
    404: "Not found, or another account's",
    405: "Method not allowed: `Allow` names those that are",
    408: "The body came too slowly",
    412: "The file is not the one that `If-Match` or `If-Unmodified-Since` names",
    416: "The range begins behind the end of the file",
    429: "Rate limit exceeded: `Retry-After` says when to come back",
    500: "Something went wrong on the server's side",
    503: "Too busy, or out of disk: come back after `Retry-After` seconds",
}
CONFLICTS: Final = {  # what a 409 may be, by `error.code`
    "IDEMPOTENCY_CONFLICT": "the Idempotency-Key came before, with another request",
    "UPLOAD_ALREADY_USED": "other bytes came before",
    "ALREADY_DELIVERED": "the event has arrived, and is not sent again",
    "JOB_NOT_COMPLETED": "the job has not made its tracks yet",
}
KEYED: Final = (401, 403, 429, 500, 503)  # of every route that asks for a key


def files(kinds: Iterable[str]) -> dict[str, Any]:
    """A whole file, a part of it, or that it is known."""
    content: dict[str, Any] = {kind: {} for kind in kinds}
    return {
        "200": {"description": "The whole file", "content": content},
        "206": {"description": "The bytes that `Range` asked for", "content": content},
        "304": {"description": "`If-None-Match` names the current file"},
    }


def operation(
    name: str, tag: str, answers: dict[int, str], *failures: int, conflicts: Sequence[str] = ()
) -> dict[str, Any]:
    """An operation that asks for a key: its good answers by status, and its errors; `conflicts`: as
    in `errors`."""
    good = {
        str(status): json("Done", ref(schema)) | {"headers": _limit_headers()}
        for status, schema in answers.items()
    }
    return {
        "operationId": name,
        "tags": [tag],
        "responses": good | errors(*sorted({*KEYED, *failures}), conflicts=conflicts),
    }


def _limit_headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name, *_ in LIMIT_HEADERS}


def in_path(*names: str) -> list[dict[str, Any]]:
    """Parameters of a path."""
    text = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names]


def in_query(*names: str) -> list[dict[str, Any]]:
    """Texts that a query must have."""
    text = {"type": "string"}
    return [{"name": name, "in": "query", "required": True, "schema": text} for name in names]


def body(schema: str) -> dict[str, Any]:
    """A JSON body."""
    content = {"application/json": {"schema": ref(schema)}}
    return {"requestBody": {"required": True, "content": content}}


def errors(*statuses: int, conflicts: Sequence[str] = ()) -> dict[str, Any]:
    """Answers that are errors; `conflicts`: the codes of those that are 409."""
    told = {
        str(status): json(SENTENCES[status], ref("ErrorResponse"))
        | ({"headers": _limit_headers()} if status == 429 else {})
        for status in statuses
    }
    if conflicts:
        reasons = "; ".join(f"`{code}`: {CONFLICTS[code]}" for code in conflicts)
        told["409"] = json(reasons, ref("ErrorResponse"))
    return told


def ref(name: str) -> dict[str, Any]:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An answer of JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def paging() -> list[dict[str, Any]]:
    """The parameters that choose a page."""
    schemas: dict[str, dict[str, Any]] = {
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_PAGE, "default": PAGE},
        "offset": {"type": "integer", "minimum": 0, "maximum": MOST_OFFSET, "default": 0},
    }
    return [{"name": name, "in": "query", "schema": s} for name, s in schemas.items()]


def idempotency_key(of_what: str) -> dict[str, Any]:
    """The header that makes a request safe to be sent twice."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": f"The same key and {of_what} within 24 hours give the first answer again",
        "schema": {"type": "string", "minLength": 1, "maxLength": MOST_KEY},
    }
