"""Headers that keep answers to who asked for them."""

from typing import Any

import pytest
from starlette.types import ASGIApp

from server.config import Config

from .fakes import FakeJobs, app_of, ask

V1 = "/api/v1"
KEY = {"Authorization": "Bearer good"}


def names(answer: Any) -> list[str]:
    return [name.lower() for name, _ in answer.headers.multi_items()]


@pytest.mark.parametrize("path", [
    "/health", "/config", "/", "/docs", "/openapi.json", "/job/x", "/nowhere", f"{V1}/openapi",
    f"{V1}/balance", f"{V1}/nowhere", f"{V1}/downloads/x/vocals.mp3", "/job/x/window",
])  # fmt: skip
def test_every_answer_is_guarded_once(app: ASGIApp, path: str) -> None:
    answer = ask(app, "GET", path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    for name in ("x-content-type-options", "referrer-policy", "cache-control"):
        assert names(answer).count(name) <= 1, name


@pytest.mark.parametrize(("method", "path"), [
    ("GET", f"{V1}/nowhere"), ("GET", f"{V1}/downloads/x/vocals.mp3"), ("POST", f"{V1}/upload"),
    ("PUT", f"{V1}/uploads/a/b/c"), ("GET", f"{V1}/balance"),
])  # fmt: skip
@pytest.mark.parametrize("headers", [{}, KEY])
def test_what_a_key_or_a_signature_opens_is_kept_by_nobody(
    app: ASGIApp, method: str, path: str, headers: dict[str, str]
) -> None:
    assert ask(app, method, path, headers=headers).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("headers", [{"X-API-Key": "good"}, KEY])
def test_downloads_that_a_key_opens_are_kept_by_nobody(
    config: Config, jobs: FakeJobs, headers: dict[str, str]
) -> None:
    app, job = app_of(config, jobs), jobs.finished()
    for path in (f"/job/{job.id}", f"/download/{job.id}/vocals", f"/download/{job.id}/all", "/"):
        answer = ask(app, "GET", path, headers=headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    ranged = ask(app, "GET", f"/download/{job.id}/vocals", headers=headers | {"Range": "bytes=0-9"})
    assert (ranged.status_code, ranged.headers["cache-control"]) == (206, "no-store")


def test_what_is_open_to_all_may_be_kept(app: ASGIApp, jobs: FakeJobs) -> None:
    job = jobs.finished()
    assert "cache-control" not in ask(app, "GET", f"/download/{job.id}/vocals").headers
    assert "cache-control" not in ask(app, "GET", f"{V1}/openapi").headers
