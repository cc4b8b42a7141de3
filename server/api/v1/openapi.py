"""This server's own OpenAPI 3.1 document of the StemSplit API: paths by hand, schemas from Structs.

A test holds the paths and the routes together.
"""

from typing import Any, Final

import msgspec

from server.api.listening import document as listening_document
from server.api.listening.mixing import FORMATS as MIX_FORMATS
from server.api.listening.windows import PeaksAnswer
from server.api.v1 import account_document, wire
from server.api.v1.document_parts import (
    LIMIT_HEADERS,
    body,
    errors,
    files,
    idempotency_key,
    in_path,
    in_query,
    json,
    operation,
    paging,
    ref,
)
from server.config import Config
from server.stems import DEFAULT_OUTPUT, OUTPUTS
from server.tracks import MIX

ANSWERS: Final = (
    wire.JobCreatedResponse, wire.JobDetailResponse, wire.JobsListResponse, wire.UploadResponse,
    wire.UploadedResponse, wire.BalanceResponse, wire.WebhookCreatedResponse,
    wire.WebhooksListResponse, wire.DeletedResponse, wire.WebhookPayload, wire.ErrorResponse,
    wire.CreateJobRequest, wire.UploadRequest, wire.CreateWebhookRequest, PeaksAnswer,
    wire.LedgerResponse, wire.DeliveriesListResponse, wire.DeliveryItem, wire.ModelsListResponse,
)  # fmt: skip


def document(config: Config) -> dict[str, Any]:
    """The whole document as plain data. Every GET in it answers HEAD as well."""
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(ANSWERS, ref_template=template)
    schemas["CreateJobRequest"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}}  # null is none
        for name in ("uploadKey", "sourceUrl")
    ]
    schemas["CreateJobRequest"]["properties"]["outputType"]["default"] = DEFAULT_OUTPUT
    schemas["CreateWebhookRequest"]["properties"]["events"]["default"] = wire.EVENTS
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
        "paths": _paths(config),
        "webhooks": {"jobEnded": _webhook()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}},
            "headers": {
                name: {"description": text, "schema": {"type": kind}}
                for name, kind, text in LIMIT_HEADERS
            },
        },
    }


def _paths(config: Config) -> dict[str, Any]:
    return {
        "/jobs": {"post": _create_job(), "get": _list_jobs()},
        "/jobs/{id}": {
            "parameters": in_path("id"),
            "get": operation("getJob", "Jobs", {200: "JobDetailResponse"}, 404),
            "delete": operation("deleteJob", "Jobs", {200: "DeletedResponse"}, 404),
        },
        "/upload": {
            "post": operation("getUploadUrl", "Upload", {200: "UploadResponse"}, 400, 408)
            | body("UploadRequest")
        },
        "/uploads/{account}/{random}/{name}": {
            "parameters": [*in_path("account", "random", "name"),
                           *in_query("expires", "max", "signature"),
                           {"name": "type", "in": "query", "schema": {"type": "string"}}],
            "put": _put_upload(),
        },
        **_listening(),
        "/downloads/{id}/{name}": {
            "parameters": [*in_path("id", "name"), *in_query("expires", "signature")],
            "get": _download(),
        },
        **account_document.paths(config),
        "/models": {
            "get": operation("listModels", "Jobs", {200: "ModelsListResponse"}) | {
                "description": "What `stems` and `model` of a job may name: models, by name, and "
                "presets, which are several models under one name."
            }
        },
        "/webhooks": {
            "post": operation("createWebhook", "Webhooks", {201: "WebhookCreatedResponse"},
                               400, 408) | body("CreateWebhookRequest"),
            "get": operation("listWebhooks", "Webhooks", {200: "WebhooksListResponse"}),
        },
        "/webhooks/{id}": {
            "parameters": in_path("id"),
            "delete": operation("deleteWebhook", "Webhooks", {200: "DeletedResponse"}, 404),
        },
        "/openapi": {
            "get": {
                "operationId": "getDocument",
                "tags": ["Document"],
                "security": [],
                "responses": {"200": json("This document", {"type": "object"})},
            }
        },
    }  # fmt: skip


def _listening() -> dict[str, Any]:
    """What is heard of a job, and rendered from it, by the URLs of its `studio`."""
    told = errors(400, 403, 404, 500, 503)
    rendered = errors(400, 403, 404, 412, 416, 500, 503, conflicts=["JOB_NOT_COMPLETED"])
    mix = [*dict.fromkeys(track for tracks in OUTPUTS.values() for track in tracks), MIX]
    operations: dict[str, dict[str, Any]] = {
        "window": listening_document.window(told),
        "peaks": listening_document.peaks(ref("PeaksAnswer"), told),
        "events": listening_document.events(told),
        "mix": {"responses": files(MIX_FORMATS.values()) | rendered,
                **listening_document.mix(mix, "studio.tracks")},
        "stemFile": {
            "responses": files(["audio/mp4"]) | rendered,
            "description": "The mix and the four stems as Native Instruments' Stems (ALAC)",
        },
    }  # fmt: skip
    return {
        f"/downloads/{{id}}/{name}": {
            "parameters": [*in_path("id"), *in_query("expires", "signature")],
            "get": {"operationId": operation_id, "tags": ["Jobs"], "security": []} | described,
        }
        for name, (operation_id, described) in zip(wire.STUDIO, operations.items(), strict=True)
    }


def _create_job() -> dict[str, Any]:
    key = idempotency_key(
        "the same meaning of the body (whatever its key order, white space, escapes and defaults)"
    )
    created = operation("createJob", "Jobs", {201: "JobCreatedResponse"}, 400, 402, 408,
                        conflicts=["IDEMPOTENCY_CONFLICT"])  # fmt: skip
    created["description"] = (
        "A `sourceUrl` is fetched through at most ten redirects, as long as it is not silent for "
        "too long; what takes more than five seconds comes in the background. So does the "
        "measuring of what is not decoded within fifteen. Such a job has zero duration, and no "
        "credits are held for it, until it is known; then it may fail. The source's "
        "`Content-Disposition` names the song, unless `fileName` does."
    )
    return created | body("CreateJobRequest") | {"parameters": [key]}


def _list_jobs() -> dict[str, Any]:
    status = {"name": "status", "in": "query",
              "schema": {"type": "string", "enum": list(wire.STATUSES)}}  # fmt: skip
    listed = operation("listJobs", "Jobs", {200: "JobsListResponse"}, 400)
    return listed | {"parameters": [*paging(), status]}


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
            "200": json("The file is here", ref("UploadedResponse")),
            **errors(400, 403, 408, 429, 500, 503, conflicts=["UPLOAD_ALREADY_USED"]),
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
            **files(sorted(set(wire.MEDIA_TYPES.values()))),
            **errors(403, 404, 412, 416, 500, 503),
        },
    }


def _webhook() -> dict[str, Any]:
    return {
        "post": {
            "operationId": "jobEnded",
            "description": "Sent until an answer is 2xx. `X-Webhook-Signature` is `sha256=` and "
            "the hex HMAC-SHA256 of the body, keyed with the secret; the `webhook-…` headers are "
            "those of Standard Webhooks.",
            **body("WebhookPayload"),
            "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Unsubscribe"}},
        }
    }
