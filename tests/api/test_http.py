"""What every request passes: ids, version, CORS, the access log, the last net."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.edge import limits
from server.api.edge.http import with_middlewares
from server.api.edge.limits import RateLimit
from server.config import load

from .fakes import FakeJobs, app_of, ask, serving


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as lines:
        yield lines


@pytest.mark.parametrize("path", ["/health", "/job/x", "/nothing", "/process", "/openapi.json"])
def test_every_answer_has_an_id_and_a_version(app: ASGIApp, path: str) -> None:
    first, second = ask(app, "GET", path), ask(app, "GET", path)
    assert first.headers["x-api-version"] == "1.0.0"
    assert len({first.headers["x-request-id"], second.headers["x-request-id"]}) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-1.2_Z", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("<script>", False),
        ("é", False),
    ],
)
def test_only_a_sane_request_id_is_taken(app: ASGIApp, given: str, kept: bool) -> None:
    answer = ask(app, "GET", "/health", headers={"X-Request-Id": given.encode()})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"].isascii()


def test_access_line(app: ASGIApp, lines: list[Any]) -> None:
    answer = ask(app, "GET", "/job/x?secret=1", headers={"X-Request-Id": "me"})
    (line,) = lines
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "client": "127.0.0.1",
        "answer": '{"detail":"Job not found"}',
        "method": "GET",
        "path": "/job/x",
        "status": 404,
        "bytes": len(answer.content),
        "request_id": "me",
    }


def test_a_path_cannot_forge_a_log_line(app: ASGIApp, lines: list[Any]) -> None:
    ask(app, "GET", "/job/x%0a2026-11-20 [info] forged%1b[2J")
    (line,) = lines
    assert line["path"] == "/job/x%0A2026-11-20%20%5Binfo%5D%20forged%1B%5B2J"


def test_health_is_quiet_in_the_log(app: ASGIApp, lines: list[Any]) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        ask(app, "GET", path)
    assert [line["log_level"] for line in lines] == ["debug"] * 3


def test_a_defect_is_a_500_with_its_traceback_in_the_log_once(
    app: ASGIApp, jobs: FakeJobs, lines: list[Any]
) -> None:
    jobs.get_error = RuntimeError("inside")
    answer = ask(app, "GET", "/job/x", headers={"Origin": "http://a.example"})
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    crashed, access = lines
    assert crashed["exc_info"] is True
    assert crashed["request_id"] == access["request_id"] == answer.headers["x-request-id"]
    assert access["status"] == 500


def test_what_escapes_before_the_app_is_a_500_too() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("inside")

    app = with_middlewares(broken, ["*"])
    answer = ask(app, "GET", "/")
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
    answer = ask(app, "GET", "/api/v1/jobs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")


def test_a_crash_within_an_answer_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The client must not take half a file for a whole one."""

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise RuntimeError("inside")

    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    with (
        serving(with_middlewares(half, ["*"])) as port,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"http://127.0.0.1:{port}/")


def test_cors_for_all_origins(app: ASGIApp) -> None:
    answer = ask(app, "GET", "/health", headers={"Origin": "http://a.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"Content-Disposition", "X-Request-Id", "ETag", "Content-Range"} <= set(exposed)
    assert {"RateLimit", "RateLimit-Policy"} <= set(exposed)
    preflight = ask(
        app,
        "OPTIONS",
        "/process",
        headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["x-request-id"]


def test_cors_for_one_origin(jobs: FakeJobs) -> None:
    config = load(environ={"STEMBOX_SERVER__CORS_ORIGINS": "http://a.example"})
    app = app_of(config, jobs)
    good = ask(app, "GET", "/health", headers={"Origin": "http://a.example"})
    bad = ask(app, "GET", "/health", headers={"Origin": "http://b.example"})
    assert good.headers["access-control-allow-origin"] == "http://a.example"
    assert "access-control-allow-origin" not in bad.headers


def test_a_flood_of_callers_shares_a_window_and_holds_up_nobody(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 10)
    limit = RateLimit(2)
    assert limit.count("known", 0.0).allowed
    for number in range(9):
        assert limit.count(f"c{number}", 0.0).allowed
    shared = [limit.count(f"new{number}", 0.5).allowed for number in range(5)]
    assert shared == [True, True, False, False, False]
    assert limit.count("known", 0.6).allowed, "who was there before keeps a window of his own"
    assert len(limit._windows) == 11
    assert limit.count("later", 61.0).allowed, "windows that are over make room"
    assert len(limit._windows) <= 2
