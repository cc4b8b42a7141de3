"""Browsers of 2022, for which the page is built, and such as keep nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import choose, clock, until

from .fakes import RATE, FakeJob, FakeServer

WITHOUT = """
for (const name of ["findLast", "findLastIndex", "toReversed", "toSorted", "toSpliced", "with"]) {
  delete Array.prototype[name];
}
"""


def test_without_what_came_later(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.add_init_script(WITHOUT)
    page.reload()
    job.complete()
    card = choose(page, server, job, song)
    page.reload()  # the list remembers it, and the address opens it
    card.locator('[data-action="play"]:enabled').wait_for()
    for key in ("ArrowRight", "m", "ArrowRight", "j"):
        page.keyboard.press(key)
    assert clock(page) == 5 * RATE
    page.keyboard.press(" ")
    until(page, lambda: clock(page) > 6 * RATE)


@pytest.mark.parametrize("kept", [True, False])
def test_the_theme_changes_at_every_click(page: Any, kept: bool) -> None:
    if not kept:
        page.add_init_script("""Object.defineProperty(window, "localStorage", {
          get() { throw new DOMException("not here", "SecurityError"); } });""")
        page.reload()
    page.emulate_media(color_scheme="light")
    button = page.get_by_role("button", name="Dark theme")
    for theme in ("dark", "light", "dark", "light"):
        button.click()
        assert button.get_attribute("aria-pressed") == str(theme == "dark").lower()
        assert page.evaluate("document.documentElement.dataset.theme") == theme
