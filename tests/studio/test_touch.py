"""The page under fingers: whatever is touched is large enough, and the transport is in reach."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import at, choose, clock, lane, until

from .fakes import RATE, FakeJob, FakeServer

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


class Fingers:
    """Touches the page as a screen does: each of a list of points is a finger."""

    def __init__(self, page: Any) -> None:
        self.session = page.context.new_cdp_session(page)

    def __call__(self, kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": id} for id, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


@pytest.mark.parametrize("size", [PHONE])
@pytest.mark.parametrize("first", ["vocals", "drums"])
def test_two_fingers_zoom_and_do_nothing_else(page: Any, card: Any, first: str) -> None:
    """Whichever waveforms they are on, and however late the second one comes."""
    box, other = lane(card).bounding_box(), lane(card, first).bounding_box()
    y, below = box["y"] + 10, other["y"] + 30
    left, right = (box["x"] + part * box["width"] for part in (0.4, 0.6))
    loop = card.locator('[data-action="loop"]')
    touch = Fingers(page)
    touch("touchStart", (left, y))
    touch("touchMove", (left - 20, y))
    until(page, lambda: loop.get_attribute("aria-pressed") == "true")
    touch("touchStart", (left - 20, y), (right, below))
    until(page, lambda: loop.get_attribute("aria-pressed") == "false")
    assert clock(page) == 0
    for step in range(1, 5):
        touch("touchMove", (left - 20 - 20 * step, y), (right + 20 * step, below))
    touch("touchEnd", (left - 100, y))
    touch("touchMove", (left - 60, y))
    touch("touchEnd")
    assert loop.get_attribute("aria-pressed") == "false"
    assert clock(page) == 0
    lane(card).tap(position=at(card, 0.5))
    until(page, lambda: abs(clock(page) - 10 * RATE) < 2 * RATE)  # about the fingers' middle
    lane(card).tap(position=at(card, 0.85))
    until(page, lambda: 11 * RATE < clock(page) < 16 * RATE)  # a part is seen


@pytest.mark.parametrize("size", [PHONE])
def test_a_finger_still_loops_and_scrolls(page: Any, card: Any) -> None:
    box = lane(card).bounding_box()
    y = box["y"] + 20
    touch = Fingers(page)
    touch("touchStart", (box["x"] + 0.5 * box["width"], y))
    touch("touchMove", (box["x"] + 0.75 * box["width"], y))
    touch("touchEnd")
    until(page, lambda: card.locator('[data-action="loop"][aria-pressed="true"]').count() == 1)
    assert abs(clock(page) - 10 * RATE) < RATE
