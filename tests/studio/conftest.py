"""A browser with the page in it. Skipped, with the reason, where none is at hand.

The browser is Debian's `chromium`, driven by Playwright's library; STEMBOX_CHROMIUM names another.
With STEMBOX_STUDIO_TESTS=must a browser that is missing fails the tests.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.api.fakes import serving

from .axe import script
from .fakes import FakeJob, FakeServer, music
from .hearing import choose

CHROMIUM = os.environ.get("STEMBOX_CHROMIUM") or shutil.which("chromium")
FAILED = "Failed to load resource"  # what a browser writes of a request that failed begins so
MUST = os.environ.get("STEMBOX_STUDIO_TESTS") == "must"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio",
             "--host-resolver-rules=MAP stembox.test 127.0.0.1"]  # fmt: skip


@pytest.fixture(scope="module")  # its event loop runs in this thread as long as it does
def playwright() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unable("no Playwright here: pip install playwright")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    if CHROMIUM is None:
        unable("no chromium here: apt-get install chromium, or name one in STEMBOX_CHROMIUM")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


def unable(reason: str) -> None:
    if MUST:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def axe() -> None:
    """Skips where the library that finds what is not accessible is missing."""
    try:
        script()
    except ModuleNotFoundError:
        unable("no axe here: pip install axe-playwright-python")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keeps the servers' log lines out of the tests' output."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def url(server: FakeServer) -> Iterator[str]:
    with serving(server) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """The page, just opened. What the console says fails the test, unless it begins as one of
    `page.expected` does: a browser writes every failed request there by itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    said: list[str] = []
    page.expected = expected = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_default_timeout(30_000)
    page.goto(url)
    yield page
    context.close()
    assert [line for line in said if not line.startswith(tuple(expected))] == []


@pytest.fixture
def job() -> FakeJob:
    """Twenty seconds in nine tracks, of which nothing is final yet."""
    return FakeJob(music(20))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A file to drop; what is in it is the fake server's affair."""
    path = tmp_path / "Zoë – Live.flac"
    path.write_bytes(b"fLaC" + bytes(100_000))
    return path


@pytest.fixture
def card(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    """That of a finished song, which is open and can be played."""
    job.complete()
    found = choose(page, server, job, song)
    found.locator('[data-action="play"]:enabled').wait_for()
    return found
