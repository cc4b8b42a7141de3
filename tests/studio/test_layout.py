"""The page on any screen: nothing is cut off or hangs over, whatever its width and the names."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import choose, constant

from .conftest import ARGUMENTS, CHROMIUM
from .fakes import FakeJob, FakeServer, music

HANGING = """() => [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest(".hidden"))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map((one) => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_nothing_hangs_over_the_edge(
    page: Any, server: FakeServer, job: FakeJob, tmp_path: Path, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    song = tmp_path / f"{'n' * 250}.wav"
    song.write_bytes(bytes(1000))
    card = choose(page, server, job, song)
    job.advance(2)
    card.get_by_text("listen to 0:02").wait_for()
    status = card.locator(".status").bounding_box()
    assert width < 720 or status["height"] <= 20, "a long name leaves the status its line"
    assert page.evaluate(HANGING) == []
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()
    card.locator('[data-action="remove"]').click()
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    dialog.get_by_text("Keep").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_label("API key").wait_for()
    assert page.evaluate(HANGING) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_is_read_whole_where_the_song_is_open(
    page: Any, server: FakeServer, tmp_path: Path, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    song = tmp_path / f"{'Symphony No. 9 in D minor, ' * 8}take two.flac"
    song.write_bytes(bytes(1000))
    job = FakeJob(music(2))
    job.complete()
    card = choose(page, server, job, song)
    title = card.locator(".title")
    cut = "(title) => title.scrollWidth > title.clientWidth"
    assert not title.evaluate(cut)
    card.locator('[data-action="open"]').click()
    assert title.evaluate(cut)
    assert title.get_attribute("title") == song.name


def test_a_name_in_another_direction(page: Any, server: FakeServer, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    name = "שיר ארוך מאוד עם מספר 12 (רמיקס) של הלהקה.mp3"
    song = tmp_path / name
    song.write_bytes(bytes(1000))
    job = FakeJob(music(2))
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    title = card.locator(".title")
    assert title.evaluate("(title) => getComputedStyle(title).direction") == "rtl"
    card.locator('[data-action="remove"]').click()
    page.get_by_role("dialog").get_by_text(f"Remove “\u2068{name}\u2069” and its files").wait_for()


def test_the_time_is_read_whole_on_the_narrowest_page(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.set_viewport_size({"width": 320, "height": 256})
    job = constant(3700)
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("1:01:40").first.wait_for()
    time = card.locator(".time")
    for width in (430, 390, 360, 359, 320):
        page.set_viewport_size({"width": width, "height": 256})
        assert time.evaluate("(time) => time.scrollWidth <= time.clientWidth"), width
    page.keyboard.press("?")
    heading = page.get_by_role("heading", name="Keyboard")
    box = heading.bounding_box()
    assert 0 <= box["y"] < 256, "a list that is longer than the page begins at its beginning"


PIXELS = """async (png) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: 1 });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, image.width, 1).data];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_dialog_leaves_no_stripe_beside_the_page(browser: Any, url: str, scheme: str) -> None:
    """Where scrollbars take room of their own, it stays free while there is nothing to scroll."""
    other = browser.browser_type.launch(
        executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--hide-scrollbars"]
    )
    page = other.new_page(viewport={"width": 1000, "height": 700}, color_scheme=scheme)
    page.goto(url)
    page.locator('[data-action="demo"]').wait_for()
    width = page.evaluate("document.body.clientWidth")
    assert width < 1000
    assert page.evaluate("document.documentElement.scrollHeight") == 700, "nothing to scroll"
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    clip = {"x": width - 4, "y": 690, "width": 1004 - width, "height": 1}
    pixels = page.evaluate(PIXELS, base64.b64encode(page.screenshot(clip=clip)).decode())
    other.close()
    for channel in range(3):
        assert np.ptp(pixels[channel::4]) <= 2
