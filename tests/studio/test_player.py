"""The player in a browser: what people do with it, and what they hear."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import (
    ALL_STEMS,
    LEVELS,
    TAP,
    an_hour,
    at,
    choose,
    clock,
    constant,
    hears,
    lane,
    seek_in_little_memory,
    until,
)
from tests.studio.hearing import playing as playing

from .fakes import RATE, FakeJob, FakeServer


def test_solo_mute_gain_and_original_as_they_sound(page: Any, playing: Any) -> None:
    def press(track: str, action: str, *modifiers: str) -> None:
        row = playing.locator(f'[data-track="{track}"] [data-action="{action}"]')
        row.click(modifiers=list(modifiers))

    press("drums", "solo")
    hears(page, 1024)
    press("bass", "solo")
    hears(page, 2048)
    press("drums", "solo", "Control")
    hears(page, 1024 + 2048)
    press("bass", "solo", "Control")
    press("drums", "solo")
    hears(page, ALL_STEMS)
    press("other", "mute")
    hears(page, ALL_STEMS - 4096)
    press("harmonic", "mute")
    hears(page, ALL_STEMS - 4096 + 32)
    gain = playing.locator('[data-track="bass"] input')
    gain.fill("-6")
    hears(page, round(ALL_STEMS - 4096 + 32 - 2048 * (1 - 10 ** (-6 / 20))))
    gain.fill("-48")
    hears(page, ALL_STEMS - 4096 + 32 - 2048)
    gain.dblclick()
    hears(page, ALL_STEMS - 4096 + 32)
    playing.locator('[data-action="original"]').click()
    hears(page, 8192)
    playing.locator('[data-action="original"]').click()
    hears(page, ALL_STEMS - 4096 + 32)


PRESSED = """(init) => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }))"""


def test_the_browsers_own_keys_are_left_to_it(page: Any, playing: Any) -> None:
    keys = [("0", "Digit0"), ("0", "Numpad0"), ("1", "Digit1"), ("9", "Digit9"), (" ", "Space"),
            ("ArrowLeft", "ArrowLeft"), ("Home", "Home"), ("+", "NumpadAdd"), ("-", "Minus"),
            (",", "Comma"), ("?", "Slash"),
            *((key, f"Key{key.upper()}") for key in "lonmjkg")]  # fmt: skip
    state = "[...document.querySelectorAll('[aria-pressed]')].map((one) => one.ariaPressed).join()"
    page.keyboard.press("2")
    hears(page, 1024)
    before = page.evaluate(state)
    for modifier in ("ctrlKey", "metaKey", "altKey"):
        for key, code in keys:
            init = {"key": key, "code": code, modifier: True}
            assert page.evaluate(PRESSED, init), "not taken"
    assert page.evaluate(PRESSED, {"key": " ", "code": "Space", "shiftKey": True}), "scrolls back"
    hears(page, 1024)
    assert page.evaluate(state) == before
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("Control+Shift+Digit3")
    hears(page, 1024 + 2048)


def test_the_keyboard(page: Any, playing: Any) -> None:
    def reaches(low: float, high: float) -> None:
        until(page, lambda: low * RATE <= clock(page) < high * RATE)

    page.keyboard.press("2")
    hears(page, 1024)
    page.keyboard.press("2")
    page.keyboard.press("Shift+Digit1")
    hears(page, ALL_STEMS - 512)
    page.keyboard.press("0")
    hears(page, ALL_STEMS)
    page.keyboard.press("o")
    hears(page, 8192)
    page.keyboard.press("o")
    page.keyboard.press(" ")
    hears(page, 0)
    page.keyboard.press("Home")
    reaches(0, 0.01)
    for key, second in (
        ("ArrowRight", 5),
        ("ArrowRight", 10),
        ("ArrowLeft", 5),
        ("Shift+ArrowRight", 6),
        ("Shift+ArrowLeft", 5),
    ):
        page.keyboard.press(key)
        assert clock(page) == second * RATE
    for key, code, second in (
        ("ArrowRight", "Numpad6", 10),
        ("ArrowLeft", "Numpad4", 5),
    ):
        assert not page.evaluate(PRESSED, {"key": key, "code": code}), "taken, without NumLock"
        assert clock(page) == second * RATE
    page.evaluate(PRESSED, {"key": "2", "code": "Numpad2"})
    assert playing.locator('[data-action="solo"][aria-pressed="true"]').count() == 1
    page.keyboard.press("0")
    page.keyboard.press("l")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    assert playing.locator('[data-action="loop"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press(" ")
    until(page, lambda: clock(page) > 5.5 * RATE)
    page.keyboard.press("l")
    assert playing.locator('[data-action="loop"]').get_attribute("aria-pressed") == "false"
    page.keyboard.press("?")
    page.get_by_text("mute a track").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("mute a track").wait_for(state="hidden")


def test_the_space_bar_plays_whatever_was_clicked_before(
    page: Any, server: FakeServer, song: Path
) -> None:
    first, second = constant(60), constant(60)
    for job in (first, second):
        job.complete()
    card = choose(page, server, first, song)
    card.locator('[data-action="play"]:enabled').wait_for()
    page.keyboard.press(" ")
    until(page, lambda: clock(page) > 1000)
    page.keyboard.press(" ")
    server.songs.append(second)
    page.locator('[data-action="demo"]').click()
    page.locator(f'[data-job="{second.id}"] [data-track="drums"] [data-action="solo"]').click()
    page.keyboard.press(" ")
    until(page, lambda: clock(page) > 1000)
    assert len(server.jobs) == 2, "no second demo song"


def test_a_click_seeks_and_a_drag_loops(page: Any, playing: Any) -> None:
    lane(playing).click(position=at(playing, 0.5))
    until(page, lambda: abs(clock(page) - 30 * RATE) < 3 * RATE)
    box = lane(playing).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.20, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.21, y, steps=3)
    page.mouse.move(box["x"] + box["width"] * 0.22, y, steps=3)
    page.mouse.up()
    start, end = 12 * RATE, 13.2 * RATE
    pixel = 60 * RATE / box["width"]
    until(page, lambda: start - pixel <= clock(page) <= end + pixel)
    turns, before = 0, clock(page)
    while turns < 3:
        page.wait_for_timeout(20)
        now = clock(page)
        assert start - pixel <= now <= end + pixel
        turns, before = turns + (now < before), now
    page.keyboard.press("l")
    until(page, lambda: clock(page) > end + pixel)


def test_zoom_keeps_what_is_under_the_pointer(page: Any, playing: Any) -> None:
    page.keyboard.press(" ")
    box = lane(playing).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    lane(playing).click(position=at(playing, 0.5))
    assert abs(clock(page) - 30 * RATE) < RATE
    lane(playing).click(position=at(playing, 0.99))
    assert clock(page) < 36 * RATE, "a part is seen"


@pytest.mark.parametrize("frames", [1, 100, 22_050, 22_051])
def test_the_shortest_songs_play_to_their_end(
    page: Any, server: FakeServer, song: Path, frames: int
) -> None:
    job = FakeJob({name: np.full((frames, 2), 99, np.int16) for name in LEVELS})
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_label("Play", exact=True).click()
    until(page, lambda: clock(page) == frames)
    card.get_by_label("Play", exact=True).wait_for()


def test_only_one_tab_is_heard(
    page: Any, server: FakeServer, job: FakeJob, song: Path, url: str
) -> None:
    job.complete()
    card = choose(page, server, job, song)
    other = page.context.new_page()
    other.goto(url)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: clock(page) > 1000)
    twin = other.locator(f'[data-job="{job.id}"]')
    twin.locator('[data-action="play"]:enabled').click()
    until(other, lambda: clock(other) > 1000)
    page.get_by_text("Paused: another tab plays now.").wait_for()
    card.get_by_label("Play", exact=True).click()
    until(other, lambda: twin.get_by_label("Play", exact=True).count() == 1)
    page.get_by_text("Paused: another tab plays now.").wait_for(state="hidden")
    other.close()


LOCK = """async ([file, wait]) => {
  const context = new OfflineAudioContext(2, 44100 * 3, 44100);
  await context.audioWorklet.addModule(file);
  const node = new AudioWorkletNode(context, "mixer", {
    numberOfInputs: 0, outputChannelCount: [2], processorOptions: { tracks: 9 } });
  node.connect(context.destination);
  const send = (order) => node.port.postMessage(order);
  send({ kind: "gains", gains: Array(9).fill(1) });
  send({ kind: "total", frames: 44100 });
  for (let track = 0; track < 9; track++) {
    for (const block of [0, 1]) {
      const samples = new Int16Array(2 * 22050);
      if (block === 1) samples.fill(16 << track, 2 * 100, 2 * 101);
      send({ kind: "layer", block, layer: { tracks: [track], samples } });
    }
  }
  send({ kind: "loop", loop: { start: 21000, end: 23001 } });
  send({ kind: "seek", frame: 21000, serial: 1 });
  send({ kind: "play" });
  await new Promise((resolve) => setTimeout(resolve, wait)); // orders travel between threads
  const sound = (await context.startRendering()).getChannelData(0);
  return [...sound].flatMap((value, at) => value ? [[at, value * 32768]] : []);
}"""


def test_nine_tracks_stay_together_in_the_browsers_own_worklet(page: Any, url: str) -> None:
    main = page.evaluate("document.querySelector('script[type=module]').src")
    file = re.search(r"mixer-\w+\.js", page.request.get(main).text())
    for wait in (50, 500, 5000):
        clicks = page.evaluate(LOCK, [f"{url}studio/{file[0]}", wait])
        if len(clicks) > 50:
            break
    assert len(clicks) > 50
    assert {value for _, value in clicks} == {16 * (2**9 - 1)}, "all nine at one sample"
    assert {b[0] - a[0] for a, b in pairwise(clicks)} == {2001}


def test_an_hour_takes_little_memory(browser: Any, server: FakeServer, url: str) -> None:
    with an_hour(browser, server, url) as tab:
        tab.run("""document.querySelector('[data-action="play"]').click()""")
        seek_in_little_memory(tab, 0.1, 0.9, 0.3, 0.7, 0.5)


def test_without_an_audio_worklet(
    page: Any, server: FakeServer, song: Path, url: str
) -> None:
    """Browsers have none for a page by plain HTTP from another machine."""
    page.add_init_script(TAP)
    page.goto(url.replace("127.0.0.1", "stembox.test"))
    assert page.evaluate("new AudioContext().audioWorklet === undefined")
    job = constant(60)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
    card.get_by_text("this page is not on HTTPS").wait_for()
    page.keyboard.press("3")
    hears(page, 2048)
    lane(card).click(position=at(card, 0.5))
    until(page, lambda: clock(page) > 30.5 * RATE)
    page.keyboard.press(" ")
    hears(page, 0)
