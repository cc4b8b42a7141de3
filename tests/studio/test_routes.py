"""How the page is served: what browsers may keep, what they may run, and what is in step."""

import gzip
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from server.api import create_app
from server.api.signing import Signer
from server.config import load
from server.studio.routes import DIST
from tests.api.fakes import FakeJobs, ask, fake_services

SOURCES = DIST.parent / "src"
REMEDY = "make studio"


def app_of(tmp_path: Path, **flags: object) -> ASGIApp:
    config = load(environ={}, flags={key.replace("__", "."): value for key, value in flags.items()})
    return create_app(config, FakeJobs(tmp_path), fake_services(), Signer(b"s" * 32))


@pytest.fixture
def app(tmp_path: Path) -> ASGIApp:
    return app_of(tmp_path)


def files(page: str) -> list[str]:
    """The addresses that a page names."""
    return re.findall(r'(?:href|src)="([^"]+)"', page)


def test_the_built_files_are_those_of_the_sources() -> None:
    sources = (path for path in SOURCES.rglob("*") if path.is_file())
    paths = {path.relative_to(SOURCES).as_posix(): path for path in sources}
    digest = hashlib.sha256()
    for name in sorted(paths):
        digest.update(f"{name}\0".encode() + paths[name].read_bytes() + b"\0")
    assert (DIST / "sources.sha256").read_text().strip() == digest.hexdigest(), REMEDY


def test_every_file_has_its_own_hash_in_its_name() -> None:
    for path in DIST.glob("*-*"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stem.endswith(f"-{digest[:10]}"), f"{path.name}: {REMEDY}"


@pytest.mark.parametrize(("path", "count"), [("/", 3), ("/docs", 5)])
def test_a_page_and_all_it_names(app: ASGIApp, path: str, count: int) -> None:
    page = ask(app, "GET", path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    own = [name for name in files(page.text) if name.startswith("studio/")]
    assert len(own) == count
    for name in own:
        answer = ask(app, "GET", f"/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert len(ask(app, "HEAD", f"/{name}").content) == 0


@pytest.mark.parametrize(
    ("path", "scripts"), [("/", "'self' 'wasm-unsafe-eval'"), ("/docs", "'self'")]
)
def test_it_runs_nothing_but_its_own_files(app: ASGIApp, path: str, scripts: str) -> None:
    page = ask(app, "GET", path)
    written = page.headers["content-security-policy"]
    policy = dict(part.split(" ", 1) for part in written.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == scripts
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in written.replace(scripts, "")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=|https?://", page.text) is None


def test_the_page_is_asked_for_anew_and_costs_nothing_then(app: ASGIApp) -> None:
    page = ask(app, "GET", "/")
    assert page.headers["cache-control"] == "no-cache"
    again = ask(app, "GET", "/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == page.headers["etag"]
    assert ask(app, "GET", "/", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(("accepted", "coding"), [
    ("gzip, br", "gzip"), ("GZIP;q=0.5", "gzip"), ("br", None), ("gzip;q=0, br", None), ("", None),
])  # fmt: skip
def test_compressed_for_those_who_take_it(
    app: ASGIApp, accepted: str, coding: str | None
) -> None:
    answer = ask(app, "GET", "/", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.text.startswith("<!doctype html>")


def test_the_whole_page_is_light(app: ASGIApp) -> None:
    page = ask(app, "GET", "/").text
    mixer = next(path.name for path in DIST.glob("mixer-*"))
    assert not any("stretch" in name for name in files(page)), "only fetched when first needed"
    names = ["index.html", mixer, *(name.removeprefix("studio/") for name in files(page))]
    weight = sum(len(gzip.compress((DIST / name).read_bytes())) for name in names)
    assert weight < 150_000


@pytest.mark.parametrize("path", [
    "/studio/", "/studio/sources.sha256", "/studio/main.js", "/studio/..%2froutes.py", "/studio",
    "/index.html",
])  # fmt: skip
def test_no_other_name_is_served(app: ASGIApp, path: str) -> None:
    answer = ask(app, "GET", path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found"})


def test_the_page_can_be_switched_off(tmp_path: Path) -> None:
    app = app_of(tmp_path, studio__enabled=False)
    page = files((DIST / "index.html").read_text())
    for path in ("/", "/docs", *(f"/{name}" for name in page)):
        answer: httpx.Response = ask(app, "GET", path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found"})
    assert ask(app, "GET", "/health").status_code == 200
