"""This server's own OpenAPI 3.1 document of the StemSplit API: paths by hand, schemas from Structs.

A test holds the paths and the routes together.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from server.api import listening_document
from server.api.listening import PeaksAnswer
from server.api.mixing import FORMATS as MIX_FORMATS
from server.api.v1 import wire
from server.audio.tracks import MIX
from server.config import Config
from server.stems import OUTPUTS

ANSWERS: Final = (
    wire.JobCreatedResponse, wire.JobDetailResponse, wire.JobsListResponse, wire.UploadResponse,
    wire.UploadedResponse, wire.BalanceResponse, wire.WebhookCreatedResponse,
    wire.WebhooksListResponse, wire.DeletedResponse, wire.WebhookPayload, wire.ErrorResponse,
    wire.CreateJobRequest, wire.UploadRequest, wire.CreateWebhookRequest, PeaksAnswer,
)  # fmt: skip
LIMIT_HEADERS: Final = (
    ("X-RateLimit-Limit", "Requests allowed per minute"),
    ("X-RateLimit-Remaining", "Requests remaining in the current window"),
    ("X-RateLimit-Reset", "Unix time at which the window ends"),
    ("Retry-After", "Seconds until then"),
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
    409: "Another request was first, and asked for or sent something else",
    416: "The range begins behind the end of the file",
    429: "Rate limit exceeded: `Retry-After` says when to come back",
    500: "Something went wrong on the server's side",
    503: "Too busy, or out of disk: come back after `Retry-After` seconds",
}
MOST_OFFSET: Final = 2**53 - 1
KEYED: Final = (401, 403, 429, 500)  # of every route that asks for a key


def document(config: Config) -> dict[str, Any]:
    """The whole document as plain data. Every GET in it answers HEAD as well."""
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(ANSWERS, ref_template=template)
    schemas["CreateJobRequest"]["oneOf"] = [
        {"required": ["uploadKey"]}, {"required": ["sourceUrl"]}
    ]  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "StemSplit API",
            "version": "1.0.0",
            "description": "Turns songs into stems. Credits are seconds of audio. Every answer "
            "carries `X-Request-Id` and `X-API-Version`.",
        },
        "servers": [{"url": f"{config.server.public_url.rstrip('/')}/api/v1"}],
        "security": [{"bearerAuth": []}],
        "paths": _paths(),
        "webhooks": {"jobEnded": _webhook()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}},
            "headers": {
                name: {"description": text, "schema": {"type": "integer"}}
                for name, text in LIMIT_HEADERS
            },
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/jobs": {"post": _create_job(), "get": _list_jobs()},
        "/jobs/{id}": {
            "parameters": _in_path("id"),
            "get": _operation("getJob", "Jobs", {200: "JobDetailResponse"}, 404),
            "delete": _operation("deleteJob", "Jobs", {200: "DeletedResponse"}, 404),
        },
        "/upload": {
            "post": _operation("getUploadUrl", "Upload", {200: "UploadResponse"}, 400, 408)
            | _body("UploadRequest")
        },
        "/uploads/{account}/{random}/{name}": {
            "parameters": [*_in_path("account", "random", "name"),
                           *_in_query("expires", "max", "signature"),
                           {"name": "type", "in": "query", "schema": {"type": "string"}}],
            "put": _put_upload(),
        },
        **_listening(),
        "/downloads/{id}/{name}": {
            "parameters": [*_in_path("id", "name"), *_in_query("expires", "signature")],
            "get": _download(),
        },
        "/balance": {"get": _operation("getBalance", "Account", {200: "BalanceResponse"})},
        "/webhooks": {
            "post": _operation("createWebhook", "Webhooks", {201: "WebhookCreatedResponse"},
                               400, 408) | _body("CreateWebhookRequest"),
            "get": _operation("listWebhooks", "Webhooks", {200: "WebhooksListResponse"}),
        },
        "/webhooks/{id}": {
            "parameters": _in_path("id"),
            "delete": _operation("deleteWebhook", "Webhooks", {200: "DeletedResponse"}, 404),
        },
        "/openapi": {
            "get": {
                "operationId": "getDocument",
                "tags": ["Document"],
                "security": [],
                "responses": {"200": _json("This document", {"type": "object"})},
            }
        },
    }  # fmt: skip


def _listening() -> dict[str, Any]:
    """What is heard of a job, and rendered from it, by the URLs of its `studio`."""
    errors = _errors(400, 403, 404, 500, 503)
    rendered = _errors(400, 403, 404, 409, 416, 500, 503)
    mix = [*dict.fromkeys(track for tracks in OUTPUTS.values() for track in tracks), MIX]
    operations: dict[str, dict[str, Any]] = {
        "window": listening_document.window(errors),
        "peaks": listening_document.peaks(_ref("PeaksAnswer"), errors),
        "events": listening_document.events(errors),
        "mix": {"responses": _file(MIX_FORMATS.values()) | rendered,
                **listening_document.mix(mix)},
        "stemFile": {
            "responses": _file(["audio/mp4"]) | rendered,
            "description": "The mix and the four stems as Native Instruments' Stems (ALAC)",
        },
    }  # fmt: skip
    return {
        f"/downloads/{{id}}/{name}": {
            "parameters": [*_in_path("id"), *_in_query("expires", "signature")],
            "get": {"operationId": operation_id, "tags": ["Jobs"], "security": []} | operation,
        }
        for name, (operation_id, operation) in zip(wire.STUDIO, operations.items(), strict=True)
    }


def _create_job() -> dict[str, Any]:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and the same meaning of the body (whatever its key order, "
        "white space, escapes and defaults) within 24 hours give the first answer again",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }
    operation = _operation(
        "createJob", "Jobs", {201: "JobCreatedResponse"}, 400, 402, 408, 409, 503
    )
    operation["description"] = (
        "A `sourceUrl` is fetched through at most ten redirects, as long as it is not silent for "
        "too long; what takes more than five seconds comes in the background, and has zero "
        "duration until then. The source's `Content-Disposition` names the song, unless "
        "`fileName` does."
    )
    return operation | _body("CreateJobRequest") | {"parameters": [key]}


def _list_jobs() -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = {
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "offset": {"type": "integer", "minimum": 0, "maximum": MOST_OFFSET, "default": 0},
        "status": {"type": "string", "enum": list(wire.STATUSES)},
    }
    parameters = [{"name": name, "in": "query", "schema": s} for name, s in schemas.items()]
    operation = _operation("listJobs", "Jobs", {200: "JobsListResponse"}, 400)
    return operation | {"parameters": parameters}


def _put_upload() -> dict[str, Any]:
    return {
        "operationId": "putUpload",
        "tags": ["Upload"],
        "security": [],
        "description": "The signed URL of `POST /upload`. The query signs what it says: its order "
        "and spelling do not matter, nor do parameters of others. `Content-Type` is the one that "
        "was chosen, or another name of it; where none was, any of audio or video, "
        "`application/octet-stream` or none: the bytes decide. The same bytes once more are "
        "answered as they were first, other bytes with 409.",
        "requestBody": {
            "required": True,
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "200": _json("The file is here", _ref("UploadedResponse")),
            **_errors(400, 403, 408, 409, 500, 503),
        },
    }


def _download() -> dict[str, Any]:
    return {
        "operationId": "download",
        "tags": ["Jobs"],
        "security": [],
        "description": "A URL of a job's `outputs`. The query signs what it says: its order and "
        "spelling do not matter, nor do parameters of others.",
        "responses": {
            **_file(sorted(set(wire.MEDIA_TYPES.values()))),
            **_errors(403, 404, 416, 500),
        },
    }


def _file(kinds: Iterable[str]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in kinds}
    return {
        "200": {"description": "The whole file", "content": content},
        "206": {"description": "The bytes that `Range` asked for", "content": content},
        "304": {"description": "`If-None-Match` names the current file"},
    }


def _webhook() -> dict[str, Any]:
    return {
        "post": {
            "operationId": "jobEnded",
            "description": "Sent until an answer is 2xx. `X-Webhook-Signature` is `sha256=` and "
            "the hex HMAC-SHA256 of the body, keyed with the secret; the `webhook-…` headers are "
            "those of Standard Webhooks.",
            **_body("WebhookPayload"),
            "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Unsubscribe"}},
        }
    }


def _operation(
    name: str, tag: str, answers: dict[int, str], *errors: int
) -> dict[str, Any]:
    good = {
        str(status): _json("Done", _ref(schema)) | {"headers": _limit_headers()}
        for status, schema in answers.items()
    }
    return {
        "operationId": name,
        "tags": [tag],
        "responses": good | _errors(*sorted({*KEYED, *errors})),
    }


def _limit_headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name, _ in LIMIT_HEADERS}


def _in_path(*names: str) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names]


def _in_query(*names: str) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [{"name": name, "in": "query", "required": True, "schema": text} for name in names]


def _body(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(schema)}}
    return {"requestBody": {"required": True, "content": content}}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): _json(SENTENCES[status], _ref("ErrorResponse"))
        | ({"headers": _limit_headers()} if status == 429 else {})
        for status in statuses
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
