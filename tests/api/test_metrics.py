"""Who may read the figures, and how requests are counted: by routes, never by paths."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from server.api import create_app, metrics
from server.api.signing import Signer
from server.config import Config, load
from server.errors import ConfigError, KeyNotAllowed

from .fakes import FakeAccounts, FakeFigures, FakeJobs, ask, fake_services

TOKEN = "t0ken-of-16-chars"


@pytest.fixture
def figures() -> FakeFigures:
    return FakeFigures()


def app_with(figures: FakeFigures, jobs: FakeJobs, **settings: Any) -> ASGIApp:
    flags = {f"metrics.{name}": value for name, value in settings.items()}
    config = load(environ={}, flags=flags)
    return create_app(config, jobs, fake_services(), Signer(b"s" * 32), figures)


async def from_address(app: ASGIApp, address: str, headers: dict[str, bytes]) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/metrics", headers=headers)


def metrics_from(app: ASGIApp, address: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return asyncio.run(from_address(app, address, named))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_open_on_loopback(figures: FakeFigures, jobs: FakeJobs, address: str) -> None:
    answer = metrics_from(app_with(figures, jobs), address, accept="a/b")
    assert (answer.status_code, answer.text) == (200, "# a/b\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("localhost:8000", 200), ("stembox", 200),
    ("a.localhost", 200), ("LOCALHOST.", 200), ("rebound.attacker.example:8000", 401),
    ("box1.example.com:8000", 200), ("mine", 200), ("mine.example", 401),
    ("rebound.attacker.example.", 401), ("127.0.0.1.attacker.example", 401),
])  # fmt: skip
def test_a_page_whose_name_has_come_to_mean_this_machine_sees_nothing(
    figures: FakeFigures, jobs: FakeJobs, host: str, status: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """DNS rebinding: to its browser it is of one origin with us, and says none."""
    (tmp_path / "hosts").write_text("# a table\n127.0.1.1 Box1.example.com box1 # mine\n\n::1\n")
    monkeypatch.setattr(metrics, "HOSTS", tmp_path / "hosts")
    metrics._own_names.cache_clear()
    app = app_with(figures, jobs, token=TOKEN)
    assert metrics_from(app, "127.0.0.1", host=host).status_code == status
    shown = metrics_from(app, "127.0.0.1", host=host, authorization=f"Bearer {TOKEN}")
    assert shown.status_code == 200


@pytest.mark.parametrize(
    "address", ["192.168.1.2", "8.8.8.8", "fe80::1", "::ffff:8.8.8.8", "", "x"]
)
def test_closed_elsewhere(figures: FakeFigures, jobs: FakeJobs, address: str) -> None:
    answer = metrics_from(app_with(figures, jobs), address)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert set(answer.json()) == {"detail"}


def test_off_loopback_the_token_is_asked_for(figures: FakeFigures, jobs: FakeJobs) -> None:
    app = app_with(figures, jobs, token=TOKEN)
    refused = metrics_from(app, "8.8.8.8")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for wrong in ("Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
                  "Bearer ü"):  # fmt: skip
        assert metrics_from(app, "8.8.8.8", authorization=wrong).status_code == 401
    assert metrics_from(app, "8.8.8.8", authorization=f"Bearer {TOKEN}").status_code == 200
    assert metrics_from(app, "127.0.0.1").status_code == 200, "who is here needs none"


def test_an_empty_token_opens_nothing(figures: FakeFigures, jobs: FakeJobs) -> None:
    app = app_with(figures, jobs)
    assert metrics_from(app, "8.8.8.8", authorization="Bearer ").status_code == 401


def test_who_may_see_the_figures_is_not_counted_by_the_limit_of_addresses(
    figures: FakeFigures, jobs: FakeJobs
) -> None:
    flags = {"metrics.token": TOKEN, "pipeline.requests_per_minute": 1}
    app = create_app(load(environ={}, flags=flags), jobs, fake_services(), Signer(b"s" * 32),
                     figures)  # fmt: skip
    shown = f"Bearer {TOKEN}"
    told = [metrics_from(app, "8.8.8.8", authorization=shown).status_code for _ in range(3)]
    assert told == [200] * 3
    assert [metrics_from(app, "127.0.0.1").status_code for _ in range(3)] == [200] * 3
    guesses = [metrics_from(app, "8.8.8.8", authorization=f"{shown}x") for _ in range(2)]
    assert [answer.status_code for answer in guesses] == [401, 429], "who guesses is"


def test_keys_of_operators_open_it_and_those_of_accounts_do_not(
    figures: FakeFigures, jobs: FakeJobs
) -> None:
    class Keys(FakeAccounts):
        async def authenticate(self, key: str | None, scope: str) -> Any:
            found = await super().authenticate(key and key.removeprefix("own "), scope)
            if scope == "admin" and not str(key).startswith("own "):
                raise KeyNotAllowed("This API key is not for the admin API.")
            return found

    app = create_app(load(environ={}), jobs, fake_services()._replace(accounts=Keys()),
                     Signer(b"s" * 32), figures)  # fmt: skip
    for key, status in (("own good", 200), ("good", 401), ("own bad", 401)):
        answer = metrics_from(app, "8.8.8.8", authorization=f"Bearer {key}")
        assert answer.status_code == status, key


def test_a_list_of_addresses(figures: FakeFigures, jobs: FakeJobs) -> None:
    app = app_with(figures, jobs, allow_networks=["10.1.0.0/16", "2001:db8::/32"])
    for address, status in (("10.1.2.3", 200), ("10.2.0.1", 401), ("2001:db8::7", 200),
                            ("127.0.0.1", 401)):  # fmt: skip
        assert metrics_from(app, address).status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "Origin"])
def test_who_speaks_for_others_is_not_here(
    figures: FakeFigures, jobs: FakeJobs, header: str
) -> None:
    """A proxy on this machine, or a page in a browser on it."""
    app = app_with(figures, jobs, token=TOKEN)
    assert metrics_from(app, "127.0.0.1", **{header: "8.8.8.8"}).status_code == 401
    said = {header: "8.8.8.8", "Authorization": f"Bearer {TOKEN}"}
    assert metrics_from(app, "127.0.0.1", **said).status_code == 200


def test_it_can_be_turned_off(figures: FakeFigures, jobs: FakeJobs) -> None:
    assert metrics_from(app_with(figures, jobs, enabled=False), "127.0.0.1").status_code == 404


@pytest.mark.parametrize("settings", [{"token": "short"}, {"token": "with a blank in it"},
                                      {"allow_networks": ["10.0.0.0/99"]}])  # fmt: skip
def test_settings_that_would_not_work_stop_the_start(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=f"metrics.{name}"):
        load(environ={}, flags={f"metrics.{key}": value for key, value in settings.items()})


def test_requests_are_counted_by_route(figures: FakeFigures, jobs: FakeJobs) -> None:
    app = app_with(figures, jobs)
    done = jobs.finished()
    for method, path in (("GET", f"/job/{done.id}"), ("GET", "/job/nobody"), ("HEAD", "/health"),
                         ("DELETE", "/health"), ("GET", f"/download/{done.id}/vocals")):
        ask(app, method, path)
    assert figures.kinds() == [
        ("/job/{job_id}", "GET", 200), ("/job/{job_id}", "GET", 404), ("/health", "HEAD", 200),
        ("/health", "DELETE", 405), ("/download/{job_id}/{track_name}", "GET", 200),
    ]  # fmt: skip
    *_, (*_, seconds, received, sent) = figures.requests
    assert seconds > 0
    assert (received, sent) == (0, done.tracks["vocals"].size)


def test_what_strangers_ask_for_makes_no_new_kind(figures: FakeFigures, jobs: FakeJobs) -> None:
    app = app_with(figures, jobs)
    for number in range(20):
        for path in (f"/{number}", f"/a/{number}/%0a", f"/api/v1/{number}", f"/api/v1x{number}"):
            ask(app, "GET", path)
    assert set(figures.kinds()) == {("/*", "GET", 404), ("/api/v1/*", "GET", 401)}


def test_routes_below_the_stemsplit_api_have_its_prefix(
    figures: FakeFigures, jobs: FakeJobs
) -> None:
    app = app_with(figures, jobs)
    ask(app, "GET", "/api/v1/openapi")
    ask(app, "PATCH", "/api/v1/jobs", headers={"Authorization": "Bearer good"})
    assert figures.kinds() == [("/api/v1/openapi", "GET", 200), ("/api/v1/jobs", "PATCH", 405)]


def test_bytes_of_uploads_are_counted(
    config: Config, figures: FakeFigures, jobs: FakeJobs
) -> None:
    app = create_app(config, jobs, fake_services(), Signer(b"s" * 32), figures)
    answer = ask(app, "POST", "/process", files={"file": ("a.wav", b"x" * 70_000)})
    assert answer.status_code == 200
    ((route, *_, received, sent),) = figures.requests
    assert route == "/process"
    assert received == int(answer.request.headers["content-length"])
    assert sent == len(answer.content)
