"""The spectrogram in a browser: a tone is a line at its height, and a long song costs little."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import LEVELS, choose, constant, until

from .fakes import RATE, FakeJob, FakeServer, stereo

# How dark the picture's rows are against its brightest, from the top down, at a part of its width.
ROWS = """(part) => {
  const canvas = document.querySelector(".spectrum canvas");
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(Math.round(part * width), 0, 1, height);
  return Array.from({ length: height }, (_, y) => (255 - data[4 * y + 1]) * data[4 * y + 3] / 255);
}"""


def tone(seconds: float, hertz: float) -> FakeJob:
    """A song that is one tone in every track, done."""
    wave = stereo(np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE) / 4)
    job = FakeJob(dict.fromkeys(LEVELS, wave))
    job.complete()
    return job


@pytest.fixture(autouse=True)
def looking(page: Any) -> None:
    """The browser minds that a test looks at a canvas again and again."""
    page.expected.append("Canvas2D: Multiple readback")


def whole(card: Any) -> None:
    card.locator('.spectrum[data-state="whole"]').wait_for()


def hertz_of(rows: list[int]) -> float:
    """The pitch of the darkest row."""
    part = 1 - (int(np.argmax(rows)) + 0.5) / len(rows)
    return float(40 * (16_000 / 40) ** part)


def asked_from_now(page: Any) -> list[str]:
    """The windows that the page asks for from now on; a server may still hear of earlier ones."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    return [url for url in asked if "/window" in url]


def test_a_tone_is_a_line_at_its_height(page: Any, server: FakeServer, song: Path) -> None:
    card = choose(page, server, tone(20, 1000), song)
    card.locator('[data-action="spectrogram"]').click()
    whole(card)
    for part in (0.3, 0.7):
        until(page, lambda part=part: max(page.evaluate(ROWS, part)) > 100)
        rows = page.evaluate(ROWS, part)
        assert 930 < hertz_of(rows) < 1070
        assert np.median(rows) < 20, "and nothing elsewhere"
    assert any("/window?tracks=mix&" in line for line in server.requests)
    card.get_by_label("Track of the spectrogram").select_option("vocals")
    card.get_by_role("img", name="Spectrogram of Vocals").wait_for()
    page.keyboard.press("g")
    assert not card.locator(".spectrum").is_visible()


def test_it_grows_with_what_is_final(
    page: Any, server: FakeServer, song: Path
) -> None:
    job = tone(20, 1000)
    job.state, job.final = "processing", dict.fromkeys(LEVELS, 0)
    card = choose(page, server, job, song)
    job.advance(10)
    card.get_by_text("listen to 0:10").wait_for()
    page.keyboard.press("g")
    whole(card)
    until(page, lambda: max(page.evaluate(ROWS, 0.4)) > 100)
    assert max(page.evaluate(ROWS, 0.6)) < 20, "not final yet"
    job.complete()
    until(page, lambda: max(page.evaluate(ROWS, 0.9)) > 100)


def test_an_original_that_goes_with_the_end(
    page: Any, server: FakeServer, song: Path
) -> None:
    """Jobs of one stem do not keep it: another track is shown from then on."""
    job = tone(20, 1000)
    job.state = "processing"
    card = choose(page, server, job, song)
    card.locator('[data-action="spectrogram"]:enabled').click()
    card.get_by_role("img", name="Spectrogram of Original").wait_for()
    whole(card)
    job.final["mix"] = 0
    job.state = "completed"
    choice = card.get_by_label("Track of the spectrogram")
    for _ in range(2):
        card.get_by_text("ready", exact=True).wait_for()
        card.get_by_role("img", name="Spectrogram of Vocals").wait_for()
        until(page, lambda: max(page.evaluate(ROWS, 0.5)) > 100)
        assert "Original" not in choice.inner_text()
        page.reload()
        card.locator('[data-action="spectrogram"]:enabled').click()


def test_a_song_is_read_in_few_windows(page: Any, server: FakeServer, song: Path) -> None:
    card = choose(page, server, tone(75, 1000), song)
    card.get_by_text("ready", exact=True).wait_for()
    page.keyboard.press("g")
    whole(card)
    windows = [line for line in server.requests if "/window" in line and "tracks=mix&" in line]
    assert len(windows) < 20
    for part in (0.01, 0.5, 0.99):
        assert 930 < hertz_of(page.evaluate(ROWS, part)) < 1070


def test_an_hour_is_read_in_moments(page: Any, server: FakeServer, song: Path) -> None:
    job = constant(3600)
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    server.requests.clear()
    page.keyboard.press("g")
    whole(card)
    windows = [line for line in server.requests if "/window" in line and "tracks=mix&" in line]
    assert 100 < len(windows) < 800
    assert all("seconds=0.09" in line or "seconds=0.04" in line for line in windows)


def test_a_song_that_goes_away_is_not_asked_for_again(
    page: Any, server: FakeServer, song: Path
) -> None:
    job = tone(20, 1000)
    card = choose(page, server, job, song)
    page.keyboard.press("g")
    whole(card)
    card.locator('[data-action="remove"]').click()
    page.get_by_role("dialog").get_by_text("Remove", exact=True).click()
    until(page, lambda: job.gone)
    assert asked_from_now(page) == []


def test_a_song_that_was_removed_elsewhere(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.expected.append("Failed to load resource")
    job = tone(75, 1000)
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    page.keyboard.press("g")
    whole(card)
    page.keyboard.press("g")
    job.gone = True
    page.keyboard.press("g")
    card.get_by_text("The server has no files of this song any more.").wait_for()
    assert asked_from_now(page) == []


def test_its_tracks_are_in_the_order_of_the_rows(
    page: Any, server: FakeServer, song: Path
) -> None:
    card = choose(page, server, tone(2, 1000), song)
    card.locator('[data-action="spectrogram"]').click()
    offered = card.get_by_label("Track of the spectrogram").locator("option").all_inner_texts()
    assert offered == ["Original", *card.locator("[data-track] .name").all_inner_texts()]
