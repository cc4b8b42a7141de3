"""This server's own OpenAPI 3.1 document of the pipeline API: paths by hand, schemas from Structs.

A test holds the paths and the routes together.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.api.bodies import API_VERSION, ENCODER, ErrorAnswer
from server.api.health import HEALTH
from server.api.listening import document as listening_document
from server.api.listening.mixing import FORMATS as MIX_FORMATS
from server.api.listening.windows import PeaksAnswer
from server.api.pipeline import wire
from server.config import Config
from server.tracks import MIX, TRACKS

PATH: Final = "/openapi.json"
METHODS: Final = frozenset(("get", "post", "delete"))
STRUCTS: Final = (
    wire.HealthAnswer, wire.LiveAnswer, wire.ReadyAnswer, wire.ConfigAnswer, wire.JobAnswer,
    wire.JobDetails, wire.DeletedAnswer, ErrorAnswer, PeaksAnswer,
)  # fmt: skip
ERRORS: Final = (
    (400, "No usable file: none sent, malformed, or no audio; or a parameter that is not allowed"),
    (401, "No API key, or an unknown one, where keys are asked for"),
    (403, "The API key has been revoked, or is not for this API"),
    (404, "Job or track not found"),
    (408, "The upload stalled"),
    (409, "Job not completed"),
    (412, "The file is not the one that `If-Match` or `If-Unmodified-Since` names"),
    (413, "File too large"),
    (416, "Range not satisfiable"),
    (429, "Rate limit exceeded: try again after `Retry-After` seconds"),
    (500, "Internal server error"),
    (503, "Too much is under way: try again after `Retry-After` seconds"),
    (507, "No room on the server's disk"),
)
KEYED: Final = (401, 403, 429)  # wherever keys or a limit are asked for
RETRIED: Final = (429, 503, 507)  # with `Retry-After`
HEADERS: Final = {
    "RateLimit": ("string", "What is left, where there is a limit, of an address or of a key: "
                  '`"address";r=remaining;t=seconds left`, `"key";…`'),
    "RateLimit-Policy": ("string", 'What is allowed: `"address";q=requests;w=seconds`'),
    "Retry-After": ("integer", "Seconds until it is worth trying again"),
}  # fmt: skip
KEYS: Final = {  # either will do
    "bearerAuth": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def route(config: Config) -> Route:
    """`GET /openapi.json`."""
    body = ENCODER.encode(document(config))

    async def openapi(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return Route(PATH, openapi)


def document(config: Config) -> dict[str, Any]:
    """The whole document as plain data. Every GET in it answers HEAD as well."""
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template=template)
    base = config.server.public_url.rstrip("/")
    keys = {"securitySchemes": KEYS} if config.pipeline.auth == "api_key" else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Audio Pipeline API",
            "version": API_VERSION,
            "description": "Turns a song into nine tracks. Every GET answers HEAD as well; every "
            "answer carries `X-Request-Id` and `X-API-Version`.",
        },
        "servers": [{"url": base}] if base else [],  # none: the server of the document
        "security": [{name: []} for name in KEYS] if keys else [],
        "paths": _limited(_paths()),
        "components": {
            "schemas": schemas,
            **keys,
            "headers": {
                name: {"description": text, "schema": {"type": kind}}
                for name, (kind, text) in HEADERS.items()
            },
        },
    }


def _limited(paths: dict[str, Any]) -> dict[str, Any]:
    """The same with the headers of limits, which count whatever is no question for health."""
    for path, item in paths.items():
        for method in () if path in HEALTH else METHODS & item.keys():
            for answer in item[method]["responses"].values():
                headers = answer.get("headers", {})
                answer["headers"] = headers | _headers("RateLimit", "RateLimit-Policy")
    return paths


STORED = (503, 507)  # of all that reads or writes the database


def _paths() -> dict[str, Any]:
    health, job = _ref("HealthAnswer"), _json("The job", _ref("JobAnswer"))
    paths = {"type": "object", "additionalProperties": {"type": "string"}}
    degraded = {"503": _json("Something is in the way of new work", health)}
    live, ready = _ref("LiveAnswer"), _ref("ReadyAnswer")
    stuck = {"503": _json("The process must be replaced", live)}
    unready = {"503": _json("Send no new work", ready)}
    refused = {"429": _error(429)}
    unread = {str(status): _error(status) for status in STORED}
    ids, track = _parameters("job_id"), _parameters("job_id", "track_name")
    return {
        "/health": {"get": _open("health", _json("Healthy", health), degraded)},
        "/health/live": {"get": _open("live", _json("The process works", live), stuck)},
        "/health/ready": {"get": _open("ready", _json("Send new work", ready), unready)},
        "/config": {
            "get": _open("config", _json("Settings", _ref("ConfigAnswer")), refused | unread)
        },
        "/process": {
            "post": {
                **_operation("process", job, _errors(400, 408, 413, 500, 503, 507)),
                "requestBody": _upload(),
            }
        },
        "/demo": {"post": _operation("demo", job, _errors(500, 503, 507))},
        "/job/{job_id}": {
            "get": _operation("job", _json("The job", _ref("JobDetails")), _errors(404, *STORED)),
            "delete": _operation(
                "delete",
                _json("It is stopped and removed", _ref("DeletedAnswer")),
                _errors(404, *STORED),
            ),
            **ids,
        },
        "/job/{job_id}/window": {
            "get": {
                "operationId": "window",
                **listening_document.window(_errors(400, 404, *STORED)),
            },
            **ids,
        },
        "/job/{job_id}/peaks": {
            "get": {
                "operationId": "peaks",
                **listening_document.peaks(_ref("PeaksAnswer"), _errors(400, 404, *STORED)),
            },
            **ids,
        },
        "/job/{job_id}/events": {
            "get": {"operationId": "events", **listening_document.events(_errors(404, *STORED))},
            **ids,
        },
        "/job/{job_id}/outputs": {
            "get": _operation(
                "outputs", _json("Paths of the tracks", paths), _errors(404, *STORED)
            ),
            **ids,
        },
        "/job/{job_id}/mix": {
            "get": _download("mix", MIX_FORMATS.values(), 400, 404, 409, 412, 416, 500, 503, 507)
            | listening_document.mix([*TRACKS, MIX], "tracks"),
            **ids,
        },
        "/download/{job_id}/stems.stem.m4a": {
            "get": _download("stem_file", ["audio/mp4"], 404, 409, 412, 416, 500, 503, 507)
            | {"description": "The mix and the four stems as Native Instruments' Stems (ALAC)"},
            **ids,
        },
        "/download/{job_id}/all": {
            "get": _download("download_all", ["application/zip"], 404, 409, 412, 416, 500, *STORED),
            **ids,
        },
        "/download/{job_id}/{track_name}": {
            "get": _download("download", ["audio/wav"], 404, 412, 416, 500, *STORED),
            **track,
        },
        PATH: {"get": _open("openapi", _json("This document", {"type": "object"}), refused)},
    }


def _operation(
    name: str, answer: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"operationId": name, "responses": {"200": answer, **(others or {})}}


def _open(
    name: str, answer: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An operation that asks for no key."""
    return _operation(name, answer, others) | {"security": []}


def _download(name: str, media_types: Iterable[str], *errors: int) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": {}} for kind in media_types}
    others = {
        "206": {"description": "The bytes that `Range` asked for", "content": content},
        "304": {"description": "`If-None-Match` names the current file"},
        **_errors(*errors),
    }
    return _operation(name, {"description": "The whole file", "content": content}, others)


def _upload() -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    callback = {
        "type": "string",
        "format": "uri",
        "description": "Gets the job by POST when it has ended, signed and retried",
    }
    stems = {
        "type": "string",
        "description": "Names of stems that an installed model makes, separated by commas or as a "
        "JSON list: they are made in place of vocals, drums, bass and other",
    }
    model = {
        "type": "string",
        "description": "The installed model, or the preset of several, that makes them; without "
        "`stems`, all that it makes",
    }
    properties = {"file": file, "callback_url": callback, "stems": stems, "model": model}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _parameters(*names: str) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": text} for name in names
        ]
    }


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): _error(status) for status in sorted({*statuses, *KEYED})}


def _error(status: int) -> dict[str, Any]:
    answer = _json(dict(ERRORS)[status], _ref("ErrorAnswer"))
    return answer | ({"headers": _headers("Retry-After")} if status in RETRIED else {})


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _answer(description, "application/json", schema)


def _answer(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
