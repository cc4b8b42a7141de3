"""Sound that the browser does not give, or takes away: a call, another app, no device."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import TAP, choose, clock, constant, hears, until

from .fakes import RATE, FakeServer
from .test_tempo import pace

# Refuses to sound while `window.refuses` is set, as an iPhone does after a call.
REFUSING = """
const resume = AudioContext.prototype.resume;
AudioContext.prototype.resume = function () {
  if (window.context !== this) window.tap = undefined; // each context has its own
  window.context = this;
  if (window.refuses) return Promise.reject(new DOMException("no sound", "InvalidStateError"));
  return resume.call(this);
};
"""


@pytest.fixture(params=["127.0.0.1", "stembox.test"])  # by a worklet, and by chained buffers
def card(page: Any, url: str, server: FakeServer, song: Path, request: Any) -> Any:
    page.add_init_script(TAP + REFUSING)
    page.goto(url.replace("127.0.0.1", request.param))
    job = constant(120)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').wait_for()
    return card


@pytest.mark.parametrize("before", ["nothing", "the song"])
def test_a_browser_that_refuses_to_sound_is_asked_anew(page: Any, card: Any, before: str) -> None:
    """By a new context, whose mixer is told all that the old one was."""
    if before == "the song":
        card.get_by_label("Play", exact=True).click()
        until(page, lambda: clock(page) > 0)
        card.get_by_label("Pause", exact=True).click()
        page.keyboard.press("Home")
    page.evaluate("window.refuses = true")
    for key in ("2", *["ArrowRight"] * 2, "l", *["ArrowRight"] * 2, "l", *["."] * 10):
        page.keyboard.press(key)
    started = clock(page)
    assert started == 10 * RATE, "at the loop's start"
    card.get_by_label("Play", exact=True).click()
    page.get_by_text("The browser cannot play sound now: press Play in a moment.").wait_for()
    assert not page.get_by_text("The server has not answered since").is_visible()
    assert clock(page) == started
    page.evaluate("window.refuses = false")
    card.get_by_label("Play", exact=True).click()
    page.get_by_text("The browser cannot play sound now").wait_for(state="hidden")
    until(page, lambda: 1.35 < pace(page, 1) < 1.65)
    page.keyboard.press("n")
    hears(page, 1024)
    page.keyboard.press("ArrowRight")
    until(page, lambda: clock(page) > 19 * RATE)
    until(page, lambda: 10 * RATE <= clock(page) < 15 * RATE)


def test_sound_that_is_taken_away_is_a_pause(page: Any, card: Any) -> None:
    card.get_by_label("Play", exact=True).click()
    until(page, lambda: clock(page) > RATE)
    page.evaluate("window.context.suspend()")
    notice = page.get_by_text("Paused: something else took the sound. Press Play to go on.")
    notice.wait_for()
    stood = clock(page)
    card.get_by_label("Play", exact=True).click()
    notice.wait_for(state="hidden")
    until(page, lambda: clock(page) > stood + RATE)


def test_a_pause_of_ones_own_is_no_interruption(page: Any, card: Any) -> None:
    """The page itself lets the sound card sleep a while after it."""
    card.get_by_label("Play", exact=True).click()
    until(page, lambda: clock(page) > RATE)
    card.get_by_label("Pause", exact=True).click()
    until(page, lambda: page.evaluate("window.context.state") == "suspended")
    assert not page.locator(".notice").is_visible()
    stood = clock(page)
    card.get_by_label("Play", exact=True).click()
    until(page, lambda: clock(page) > stood + RATE)
    assert not page.locator(".notice").is_visible()
