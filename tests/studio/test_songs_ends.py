"""Where songs end and begin: the end and play again, the next song, one that comes back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import (
    ALL_STEMS,
    TAP,
    at,
    choose,
    clock,
    constant,
    heard,
    hears,
    lane,
    until,
)

from .conftest import FAILED
from .fakes import RATE, FakeJob, FakeServer

# Secure pages play through a worklet, others through buffers that the page chains.
HOSTS = ("127.0.0.1", "stembox.test")


@pytest.fixture(params=HOSTS)
def opened(page: Any, url: str, request: pytest.FixtureRequest) -> Any:
    page.add_init_script(TAP)
    page.goto(url.replace("127.0.0.1", request.param))
    return page


# The tap looks back for longer than the song before may be heard.
LOUDEST = """() => {
  const near = new AnalyserNode(tap.context, { fftSize: 256 });
  tap.connect(near);
  const from = tap.context.currentTime + 0.03;
  const samples = new Float32Array(256);
  window.loudest = 0;
  setInterval(() => {
    if (tap.context.currentTime < from) return;
    near.getFloatTimeDomainData(samples);
    window.loudest = Math.max(window.loudest, ...samples.map(Math.abs));
  }, 2);
}"""


def play(card: Any) -> Any:
    return card.locator('.transport [data-action="play"]')


@pytest.mark.parametrize("rest", [0, 2000])  # milliseconds: the sound card sleeps after 1500
def test_a_song_plays_again_from_its_end(
    opened: Any, server: FakeServer, song: Path, rest: int
) -> None:
    """Long enough to be heard on a busy machine; its end is sought."""
    job = constant(10)
    job.complete()
    card = choose(opened, server, job, song)
    button = play(card)
    button.click()
    hears(opened, ALL_STEMS)
    for _ in range(2):
        lane(card).click(position=at(card, 0.9))
        until(opened, lambda: button.get_attribute("aria-label") == "Play")
        assert clock(opened) == 10 * RATE
        opened.wait_for_timeout(rest)
        button.click()
        until(opened, lambda: RATE < clock(opened) < 9 * RATE)
        assert button.get_attribute("aria-label") == "Pause"
        hears(opened, ALL_STEMS)


def test_the_next_song_begins_with_nothing_of_the_one_before(
    opened: Any, server: FakeServer, song: Path
) -> None:
    loud = constant(60)
    silent = FakeJob({name: np.zeros((60 * RATE, 2), np.int16) for name in loud.tracks})
    for job in (loud, silent):
        job.complete()
    second = choose(opened, server, silent, song)
    first = choose(opened, server, loud, song)
    play(first).click()
    hears(opened, ALL_STEMS)
    second.locator('[data-action="open"]').click()
    opened.wait_for_timeout(2000)  # the sound card sleeps
    opened.evaluate(LOUDEST)
    play(second).click()
    until(opened, lambda: clock(opened) > RATE)
    assert opened.evaluate("window.loudest") == 0


def test_a_song_that_comes_back_can_be_played(
    page: Any, server: FakeServer, song: Path, url: str
) -> None:
    """Its files were gone, and have been restored."""
    page.expected.append(FAILED)
    page.add_init_script(TAP)
    job = constant(10)
    job.complete()
    choose(page, server, job, song)
    job.gone = True
    page.reload()
    page.locator('[data-phase="expired"]').wait_for()
    job.gone = False
    page.reload()
    card = page.locator('[data-phase="done"]')
    card.wait_for()
    if play(card).count() == 0:
        card.locator('[data-action="open"]').click()
    play(card).click()
    until(page, lambda: heard(page) != 0)
