"""The page under fingers: whatever is touched is large enough, and the transport is in reach."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import choose

from .fakes import FakeJob, FakeServer

PHONE, LYING, TABLET = (390, 844), (844, 390), (820, 1180)
LEAST = 44  # CSS pixels
TARGETS = """() => [...document.querySelectorAll(
        "button, a[href], select, summary, label.target, .gain")]
    .filter((element) => element.checkVisibility())
    .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
    .map(([name, { width, height, right }]) => [name, width, height, right])
    .filter(([, width]) => width > 0)"""


@pytest.fixture
def page(browser: Any, url: str, size: tuple[int, int]) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(url)
    yield page
    context.close()


def too_small(page: Any) -> list[str]:
    """What is smaller than a fingertip, or hangs over the edge."""
    wide = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == wide
    return [f"{name}: {width} x {height}, to {right}"
            for name, width, height, right in page.evaluate(TARGETS)
            if min(width, height) < LEAST or right > wide]  # fmt: skip


@pytest.fixture
def card(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    """A finished song, with a marker."""
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    page.keyboard.press("m")
    return card


@pytest.mark.parametrize("size", [PHONE, LYING, TABLET])
def test_everything_is_large_enough_for_a_finger(page: Any, card: Any) -> None:
    assert too_small(page) == []
    if (more := card.locator(".transport .more")).is_visible():
        more.click()
        card.locator('[data-action="set-marker"]').wait_for()
    if (controls := card.get_by_label("Controls of Drums")).is_visible():
        assert not card.locator('[data-track="drums"] [data-action="solo"]').is_visible()
        controls.click()
    card.locator('[data-track="drums"] [data-action="solo"]').click()
    assert too_small(page) == []


@pytest.mark.parametrize("size", [PHONE, LYING])
def test_the_transport_stays_at_the_bottom_and_leaves_room(page: Any, card: Any) -> None:
    for far in (0, 99_999):
        page.evaluate("(far) => scrollTo(0, far)", far)
        box = card.locator(".transport").bounding_box()
        assert box["y"] + box["height"] == page.viewport_size["height"]
        assert box["height"] < 64
    card.locator(".transport .more").click()
    page.evaluate("scrollTo(0, 99999)")
    files = card.locator(".files").bounding_box()
    above = card.locator(".transport").bounding_box()["y"]
    assert files["y"] + files["height"] <= above, "nothing stays under it"
