"""The document and the routes are one."""

import re
from typing import Any

from starlette.types import ASGIApp

from server.api.health import HealthAnswers
from server.api.pipeline import openapi
from server.api.pipeline.routes import Pipeline
from server.api.v1.openapi import document as v1_document
from server.config import Config, load
from server.sharing import SharedPlaces

from .fakes import FakeJobs, ask, fake_services

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def test_document_and_routes_are_equal(app: ASGIApp, config: Config, jobs: FakeJobs) -> None:
    services = fake_services()
    pipeline = Pipeline(config, jobs, None, services, SharedPlaces(2, "uploads"))
    routes = [*HealthAnswers(services).routes(), *pipeline.routes(), openapi.route(config)]
    # HEAD comes with every GET, as the document says in its description.
    served = {(route.path, m.lower()) for route in routes for m in route.methods or ()}
    served -= {(path, "head") for path, method in served if method == "get"}
    paths = ask(app, "GET", "/openapi.json").json()["paths"]
    assert served == {(path, m) for path, item in paths.items() for m in item if m in METHODS}


def test_every_path_parameter_is_described(app: ASGIApp) -> None:
    for path, item in ask(app, "GET", "/openapi.json").json()["paths"].items():
        described = [parameter["name"] for parameter in item.get("parameters", [])]
        assert described == re.findall(r"{(\w+)}", path)


def test_every_reference_leads_somewhere(app: ASGIApp) -> None:
    document = ask(app, "GET", "/openapi.json").json()
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names == set(document["components"]["schemas"])


def test_errors_are_documented(app: ASGIApp) -> None:
    paths: dict[str, Any] = ask(app, "GET", "/openapi.json").json()["paths"]
    process = paths["/process"]["post"]["responses"]
    assert set(process) == {*("200", "400", "401", "403", "408", "413", "429", "500", "503", "507")}
    assert set(paths["/config"]["get"]["responses"]) == {"200", "429", "503", "507"}
    assert set(paths["/openapi.json"]["get"]["responses"]) == {"200", "429"}
    assert set(paths["/download/{job_id}/all"]["get"]["responses"]) == {
        *("200", "206", "304", "401", "403", "404", "409", "412"),
        *("416", "429", "500", "503", "507"),
    }


def test_a_gain_that_is_left_out_has_no_number() -> None:
    """Of a stem it is 0 dB, of another track silence; custom stems are in no list."""
    config = load(environ={})
    for mix, names in (
        (openapi.document(config)["paths"]["/job/{job_id}/mix"], "`tracks`"),
        (v1_document(config)["paths"]["/downloads/{id}/mix"], "`studio.tracks`"),
    ):
        told = mix["get"]
        gains = [one for one in told["parameters"] if one["name"].startswith("gain.")]
        assert gains and not any("default" in gain["schema"] for gain in gains)
        assert names in told["description"] and "`gain.NAME`" in told["description"]


def test_limits_are_documented_where_they_count(app: ASGIApp) -> None:
    document = ask(app, "GET", "/openapi.json").json()
    assert set(document["components"]["headers"]) == {
        "RateLimit", "RateLimit-Policy", "Retry-After"
    }  # fmt: skip
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            answers = item[method]["responses"]
            assert ("429" in answers) is not path.startswith("/health"), path
            for status, answer in answers.items():
                headers = set(answer.get("headers", ()))
                limited = {"RateLimit", "RateLimit-Policy"} <= headers
                assert limited is not path.startswith("/health"), path
                retried = status in ("429", "503", "507") and limited
                assert ("Retry-After" in headers) is retried, (path, status)


UNKEYED = {"/health", "/health/live", "/health/ready", "/config", "/openapi.json"}


def test_keys_are_asked_for_where_the_settings_say_so() -> None:
    document = openapi.document(load(environ={}, flags={"pipeline.auth": "api_key"}))
    assert document["components"]["securitySchemes"] == {
        "bearerAuth": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    assert document["security"] == [{"bearerAuth": []}, {"apiKey": []}], "either will do"
    operations = {path: item["get"] for path, item in document["paths"].items() if "get" in item}
    unkeyed = {path for path, told in operations.items() if told.get("security") == []}
    assert unkeyed == UNKEYED
    opened = openapi.document(load(environ={}))
    assert opened["security"] == [] and "securitySchemes" not in opened["components"]


def test_clients_call_the_public_address() -> None:
    public = load(environ={}, flags={"server.public_url": "https://stems.example.com/sub/"})
    assert openapi.document(public)["servers"] == [{"url": "https://stems.example.com/sub"}]
    assert openapi.document(load(environ={}))["servers"] == [], "where the document came from"
