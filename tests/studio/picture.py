"""Takes the README's pictures from the real page: `python -m tests.studio.picture FOLDER`.

listening.png: the demo song, heard while it is being separated; done.png: the same when it is done,
dark, with a loop, markers, another tempo and a spectrogram; phone.png: on a phone. Needs Chromium and Playwright, as the tests do.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.harness import serving

from .conftest import ARGUMENTS, CHROMIUM

WIDE = {"width": 1280, "height": 780}
TALL = {"width": 1280, "height": 1040}
PHONE = {"width": 390, "height": 844}
PATIENCE = 240_000  # milliseconds
LISTENED = 3 * 44_100  # frames: the playhead is seen to move


def main(folder: Path) -> None:
    """Starts a server of its own, and leaves nothing but the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        serving(Path(data) / "data") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport=WIDE, device_scale_factor=2)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.url)
        take(page, folder)
        browser.close()


def take(page: Any, folder: Path) -> None:
    """The pictures, one after the other, of one song."""
    page.locator('[data-action="demo"]').click()
    page.locator('[data-action="play"]:enabled').click()
    while page.evaluate("Number(document.documentElement.dataset.clock)") < LISTENED:
        page.wait_for_timeout(50)
    page.screenshot(path=folder / "listening.png")
    page.locator(".card").get_by_text("ready", exact=True).wait_for()
    page.set_viewport_size(TALL)
    page.emulate_media(color_scheme="dark")
    page.keyboard.press(" ")
    work(page)
    page.wait_for_timeout(1500)  # the last peaks
    page.screenshot(path=folder / "done.png")
    page.keyboard.press("g")
    page.keyboard.press("n")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "phone.png")


def work(page: Any) -> None:
    """As somebody would who learns a song by ear."""
    for keys in (("Home", "ArrowRight"), ("ArrowRight", "ArrowRight")):
        for key in (*keys, "m", "l"):
            page.keyboard.press(key)
    for place, name in enumerate(("Verse", "Chorus")):
        page.get_by_label("Name of the marker").nth(place).fill(name)
        page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    for _ in range(4):
        page.keyboard.press(",")
    page.keyboard.press("Shift+Digit4")
    page.keyboard.press("g")
    page.locator('.spectrum[data-state="whole"]').wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
