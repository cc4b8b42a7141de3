"""Takes the README's pictures from the real page: `python -m tests.studio.picture FOLDER`.

listening.png: a song of three minutes, heard while it is being separated; done.png: the demo song,
dark, with a loop, markers, another tempo and a spectrogram; phone.png: on a phone. Needs Chromium
and Playwright, as the tests do.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from playwright.sync_api import sync_playwright

from server.sound import SAMPLE_RATE
from server.starter.songs import synthesise
from tests.harness import serving

from .conftest import ARGUMENTS, CHROMIUM

WIDE = {"width": 1280, "height": 780}
TALL = {"width": 1280, "height": 1040}
PHONE = {"width": 390, "height": 844}
PATIENCE = 240_000  # milliseconds
BEGUN = 20  # percent of the song that are separated before somebody listens
LISTENED = 6 * SAMPLE_RATE  # frames: the playhead is seen to move
SECONDS = 180.0
SEED = 2_000_002  # of the range that training never uses


def main(folder: Path) -> None:
    """Starts a server of its own, and leaves nothing but the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        serving(Path(data) / "data") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport=WIDE, device_scale_factor=1.25)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.url)
        listen(page, write_song(Path(data)), folder)
        take(page, folder)
        browser.close()


def write_song(folder: Path) -> Path:
    """A song of three minutes, from its first sound on."""
    path = folder / "Long way home.flac"
    mix = np.sum(np.stack(list(synthesise(SEED, SECONDS + 60).values())), axis=0)
    first = int(np.argmax(np.abs(mix).max(axis=0) > 0.05))
    sf.write(path, mix.T[first : first + round(SECONDS * SAMPLE_RATE)], SAMPLE_RATE)
    return path


def listen(page: Any, song: Path, folder: Path) -> None:
    """The picture of listening while it separates."""
    page.set_input_files("input[type=file]", song)
    progress = page.locator('.card[data-phase="separating"] [role="progressbar"]')
    while int(progress.get_attribute("aria-valuenow")) < BEGUN:
        page.wait_for_timeout(50)
    page.locator('[data-action="play"]:enabled').click()
    while page.evaluate("Number(document.documentElement.dataset.clock)") < LISTENED:
        page.wait_for_timeout(50)
    page.screenshot(path=folder / "listening.png")
    if page.locator('.card[data-phase="separating"]').count() == 0:
        raise SystemExit("this machine separates faster than one can listen: give it a longer song")
    page.locator('[data-action="remove"]').click()


def take(page: Any, folder: Path) -> None:
    """The pictures of one song that is done."""
    page.locator('[data-action="demo"]').click()
    page.locator(".card").get_by_text("ready", exact=True).wait_for()
    page.set_viewport_size(TALL)
    page.emulate_media(color_scheme="dark")
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
    page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press(",")
    page.keyboard.press("Shift+Digit4")
    page.keyboard.press("g")
    page.locator('.spectrum[data-state="whole"]').wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
