"""What the page has to say once: where it is seen, and when it goes."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import choose, until

from .fakes import FakeJob, FakeServer

AWAY = "The server has not answered since"


@pytest.fixture(autouse=True)
def failing(page: Any) -> None:
    page.expected.append("Failed to load resource")


def test_what_failed_while_the_server_is_away_is_seen_until_it_is_back(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    page.context.set_offline(True)
    card.locator('[data-action="remove"]').click()
    notice = page.get_by_text("could not be removed. The server does not answer.")
    notice.wait_for()
    away = page.get_by_text(AWAY)
    away.wait_for()
    page.wait_for_timeout(3000)  # it is asked again meanwhile
    assert notice.is_visible() and away.is_visible()
    page.context.set_offline(False)
    away.wait_for(state="hidden")
    notice.wait_for(state="hidden")
    assert card.is_visible()


def test_what_one_lost_request_was_for_can_be_read(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """The server answers the very next one, which makes the sentence old, and no less true."""
    card = choose(page, server, job, song)
    page.route(
        f"**/job/{job.id}",
        lambda route: route.abort() if route.request.method == "DELETE" else route.fallback(),
    )
    card.locator('[data-action="remove"]').click()
    notice = page.get_by_text("could not be removed. The server does not answer.")
    notice.wait_for()
    page.wait_for_timeout(3000)
    assert notice.is_visible() and not page.get_by_text(AWAY).is_visible()
    notice.wait_for(state="hidden")


def test_the_demo_song_while_the_server_is_away(page: Any) -> None:
    demo = page.locator('[data-action="demo"]')
    demo.wait_for()
    page.context.set_offline(True)
    for _ in range(2):
        demo.click()
        notice = page.get_by_text("The demo song could not be had. The server does not answer.")
        notice.wait_for()
        page.get_by_text(AWAY).wait_for()
        page.get_by_label("Close this notice").click()
        assert not notice.is_visible()


def test_a_notice_can_be_closed(page: Any) -> None:
    page.route("**/demo", lambda route: route.fulfill(status=503, json={"detail": "No room"}))
    page.locator('[data-action="demo"]').click()
    notice = page.get_by_text("The demo song could not be had. No room")
    notice.wait_for()
    assert not page.get_by_text(AWAY).is_visible(), "it has answered"
    close = page.get_by_label("Close this notice")
    close.focus()
    page.keyboard.press("Enter")
    until(page, lambda: not notice.is_visible())
    assert not close.is_visible()
