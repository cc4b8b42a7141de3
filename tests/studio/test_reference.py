"""The reference at `/docs` in a browser: both documents, and a console that works."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.config import load
from tests.api.fakes import FakeJobs, app_of, serving
from tests.studio.hearing import until

from .axe import findings


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(app_of(load(environ={}), FakeJobs(tmp_path))) as port:
        yield f"http://127.0.0.1:{port}/docs"


def test_both_apis_and_a_console_that_works(page: Any) -> None:
    page.get_by_role("heading", name="Audio Pipeline API").wait_for()
    page.get_by_text("Requests", exact=True).wait_for()
    assert page.get_by_text("default", exact=True).count() == 0, "the viewer's word for no tag"
    page.locator("#operations-default-health").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table").get_by_text('"healthy"').wait_for()
    page.get_by_role("link", name="StemSplit API").click()
    page.get_by_role("heading", name="StemSplit API").wait_for()
    page.locator(".opblock-post", has_text="/jobs").wait_for()
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(page.url.split("/docs")[0]) for name in asked), "no other host"


@pytest.mark.parametrize("name", ["Audio Pipeline API", "StemSplit API"])
def test_axe_finds_nothing(page: Any, axe: None, name: str) -> None:
    page.get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name).wait_for()
    page.locator(".opblock").first.wait_for()
    assert findings(page) == []
    page.locator(".opblock-summary-control").first.click()
    page.locator(".opblock-body").get_by_role("button", name="Execute").wait_for()
    assert findings(page) == []


def test_light_and_dark(page: Any) -> None:
    def dark() -> bool:
        return bool(page.evaluate("document.documentElement.classList.contains('dark-mode')"))

    page.get_by_role("heading", name="Audio Pipeline API").wait_for()
    assert not dark()
    page.emulate_media(color_scheme="dark")
    until(page, dark)
    page.locator('[data-action="theme"]').click()
    until(page, lambda: not dark())
    page.reload()
    page.get_by_role("heading", name="Audio Pipeline API").wait_for()
    assert not dark(), "what was chosen stays"


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("name", ["Audio Pipeline API", "StemSplit API"])
def test_nothing_hangs_over_the_edge(page: Any, name: str, width: int) -> None:
    """Whatever is unfolded: on a phone the page does not scroll sideways."""
    page.set_viewport_size({"width": width, "height": 844})
    page.get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name).wait_for()
    posts = page.locator(".opblock-post")
    posts.first.wait_for()
    for post in posts.all():
        control = post.locator(".opblock-summary-control")
        control.press("Enter")
        post.locator(".opblock-body").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width, control.inner_text()
        control.press("Enter")
