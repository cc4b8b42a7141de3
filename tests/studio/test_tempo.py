"""Tempo and key in a browser: what is heard, where the position is, what is fetched when."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import (
    ALL_STEMS,
    TAP,
    an_hour,
    at,
    choose,
    clock,
    constant,
    hears,
    lane,
    play_constants,
    seek_in_little_memory,
    until,
)

from .fakes import RATE, FakeServer

SPECTRUM = """() => {
  if (!window.tap) return 0;
  const bins = new Float32Array(tap.frequencyBinCount);
  tap.getFloatFrequencyData(bins);
  const loudest = bins.indexOf(Math.max(...bins));
  return loudest * tap.context.sampleRate / tap.fftSize;
}"""


def pace(page: Any, seconds: float = 1.5) -> float:
    """Song seconds in a second."""
    script = "[Number(document.documentElement.dataset.clock), performance.now() / 1000]"
    start, began = page.evaluate(script)
    page.wait_for_timeout(1000 * seconds)
    end, ended = page.evaluate(script)
    return float((end - start) / RATE / (ended - began))


def asked(server: FakeServer) -> int:
    return sum(line.startswith("GET /studio/stretch-") for line in server.requests)


@pytest.fixture
def playing(page: Any, server: FakeServer, song: Path) -> Any:
    return play_constants(page, server, song, 120)


def test_the_transport_does_not_move_as_the_tempo_does(
    page: Any, server: FakeServer, song: Path
) -> None:
    job = constant(2)
    job.complete()
    card = choose(page, server, job, song)
    buttons = card.locator(".transport button")

    def places() -> list[Any]:
        found: list[Any] = buttons.evaluate_all(
            "(all) => all.map((one) => JSON.stringify(one.getBoundingClientRect()))"
        )
        return found

    before = places()
    for key in (".", "Shift+Period"):
        page.keyboard.press(key)
        assert card.locator(".changed").count() > 0
        assert places() == before


def test_tempo_and_key_by_button_and_by_keyboard(
    page: Any, server: FakeServer, playing: Any
) -> None:
    assert asked(server) == 0, "who does not need it does not fetch it"
    assert 0.9 < pace(page) < 1.1
    for _ in range(10):
        playing.locator('[data-action="tempo-up"]').click()
    playing.get_by_role("button", name="Tempo 1.50×, reset").wait_for()
    until(page, lambda: asked(server) == 1)
    until(page, lambda: 1.4 < pace(page) < 1.6)
    for _ in range(16):
        page.keyboard.press(",")
    until(page, lambda: 0.65 < pace(page) < 0.75)
    page.keyboard.press("Shift+Period")
    page.keyboard.press("Shift+Period")
    assert playing.locator('[data-action="key-reset"]').inner_text() == "+2"
    playing.locator('[data-action="key-down"]').click()
    assert playing.locator('[data-action="key-reset"]').inner_text() == "+1"
    playing.locator('[data-action="tempo-reset"]').click()
    until(page, lambda: 0.9 < pace(page) < 1.1)
    page.keyboard.press("n")
    hears(page, ALL_STEMS)
    assert playing.locator('[data-action="key-reset"]').inner_text() == "±0"
    for _ in range(30):
        page.keyboard.press("Shift+Comma")
    assert playing.locator('[data-action="key-reset"]').inner_text() == "−12"
    assert playing.locator('[data-action="key-down"]').is_disabled()
    assert asked(server) == 1


def test_seeking_and_looping_at_half_the_tempo(page: Any, playing: Any) -> None:
    for _ in range(10):
        page.keyboard.press(",")
    until(page, lambda: 0.4 < pace(page) < 0.6)
    lane(playing).click(position=at(playing, 0.5))
    until(page, lambda: 60 * RATE < clock(page) < 62 * RATE)
    page.keyboard.press("l")
    start = clock(page)
    page.wait_for_timeout(1000)
    page.keyboard.press("l")
    assert playing.locator('[data-action="loop"]').get_attribute("aria-pressed") == "true"
    turns, before = 0, clock(page)
    while turns < 3:
        page.wait_for_timeout(20)
        now = clock(page)
        assert start - RATE / 10 < now < start + RATE
        turns, before = turns + (now < before), now
    page.keyboard.press(" ")
    page.wait_for_timeout(300)
    stood = clock(page)
    page.wait_for_timeout(200)
    assert clock(page) == stood
    page.keyboard.press("Home")
    until(page, lambda: clock(page) == 0)


def test_a_key_is_heard(page: Any, server: FakeServer, song: Path) -> None:
    from .test_spectrogram import tone

    page.add_init_script(TAP)
    page.reload()
    card = choose(page, server, tone(30, 1000), song)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: abs(page.evaluate(SPECTRUM) - 1000) < 5)
    for _ in range(12):
        page.keyboard.press("Shift+Period")
    until(page, lambda: abs(page.evaluate(SPECTRUM) - 2000) < 10)
    page.keyboard.press("n")
    for _ in range(4):
        page.keyboard.press(".")
    until(page, lambda: 1.1 < pace(page) < 1.3)
    until(page, lambda: abs(page.evaluate(SPECTRUM) - 1000) < 5)


def test_what_cannot_be_had_is_said(page: Any, server: FakeServer, playing: Any) -> None:
    page.expected.append("Failed to load resource")
    server.lost = "/studio/stretch-"
    page.keyboard.press(".")
    page.get_by_text("Tempo and key cannot be changed now").wait_for()
    playing.get_by_role("button", name="Tempo 1.00×", exact=True).wait_for()
    hears(page, ALL_STEMS)
    server.lost = "-"
    page.keyboard.press("Shift+Period")
    until(page, lambda: asked(server) == 2)
    page.get_by_text("Tempo and key cannot be changed now").wait_for(state="hidden")


def test_without_an_audio_worklet(page: Any, server: FakeServer, song: Path, url: str) -> None:
    page.goto(url.replace("127.0.0.1", "stembox.test"))
    job = constant(120)
    job.complete()
    card = choose(page, server, job, song)
    for _ in range(10):
        page.keyboard.press(".")
    card.locator('[data-action="play"]:enabled').click()
    card.get_by_text("this page is not on HTTPS").wait_for()
    until(page, lambda: 1.35 < pace(page, 3) < 1.65)


SIZES = """() => [...document.querySelectorAll(".transport button, .markers :is(button, input)")]
  .map((element) => element.getBoundingClientRect())
  .filter((box) => box.width > 0)
  .map((box) => [box.width, box.height, box.right])"""


def test_on_a_phone_they_are_behind_a_tap(page: Any, server: FakeServer, song: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    job = constant(120)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').wait_for()
    faster = card.locator('[data-action="tempo-up"]')
    assert not faster.is_visible()
    card.get_by_label("Tempo, key, markers").click()
    faster.click()
    card.get_by_role("button", name="Tempo 1.05×, reset").wait_for()
    card.locator('[data-action="set-marker"]').click()
    sizes = page.evaluate(SIZES)
    assert len(sizes) >= 14
    assert min(height for _, height, _ in sizes) >= 44
    assert min(width for width, _, _ in sizes) >= 44
    assert max(right for *_, right in sizes) <= 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_hour_at_another_tempo_takes_little_memory(
    browser: Any, server: FakeServer, url: str
) -> None:
    with an_hour(browser, server, url) as tab:
        for action in ("play", "spectrogram", *["tempo-up"] * 10):
            tab.run(f"""document.querySelector('.player [data-action="{action}"]').click()""")
        tab.until("document.querySelector('.spectrum[data-state=whole]') !== null")
        seek_in_little_memory(tab, 0.1, 0.9, 0.5)
