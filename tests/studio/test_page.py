"""The page in a browser: what people do with it, and what they see and hear."""

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .fakes import RATE, STEMS, FakeJob, FakeServer, music
from .tab import Tab, page_megabytes

# One constant a track: what is heard tells which tracks are, and how loud.
LEVELS = {"vocals": 512, "drums": 1024, "bass": 2048, "other": 4096, "harmonic": 32,
          "percussive": 64, "main": 128, "main_harmonic": 256, "main_percussive": 16,
          "mix": 8192}  # fmt: skip
ALL_STEMS = sum(LEVELS[name] for name in STEMS)
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...more) {
  if (target instanceof AudioDestinationNode) {
    window.tap ??= new AnalyserNode(this.context, { fftSize: 32768 });
    connect.call(this, window.tap);
  }
  return connect.call(this, target, ...more);
};
window.heard = () => {
  const samples = new Float32Array(64);
  window.tap?.getFloatTimeDomainData(samples);
  return Math.round(samples.at(-1) * 32768);
};
"""


def constant(seconds: float) -> FakeJob:
    frames = round(seconds * RATE)
    return FakeJob({
        name: np.broadcast_to(np.array([[level, level]], np.int16), (frames, 2))
        for name, level in LEVELS.items()
    })  # fmt: skip


def until(page: Any, what: Callable[[], Any], seconds: float = 30) -> Any:
    """Polls until `what()` is true; the browser goes on meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        page.wait_for_timeout(30)
    raise AssertionError("what the test waits for never came")


def clock(page: Any) -> int:
    return int(page.evaluate("document.documentElement.dataset.clock"))


def heard(page: Any) -> int:
    return int(page.evaluate("window.heard()"))


def hears(page: Any, level: int) -> None:
    until(page, lambda: abs(heard(page) - level) <= 1)


def choose(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    """Takes a song by the file input; returns its card."""
    server.songs.append(job)
    page.set_input_files("input[type=file]", song)
    card = page.locator(f'[data-job="{job.id}"]')
    card.wait_for()
    return card


@pytest.fixture
def playing(page: Any, server: FakeServer, song: Path) -> Any:
    return play_constants(page, server, song, 60)


def play_constants(page: Any, server: FakeServer, song: Path, seconds: int) -> Any:
    """The card of a song of constants that is done, and plays."""
    page.add_init_script(TAP)
    page.reload()
    job = constant(seconds)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
    return card


def lane(card: Any, track: str = "vocals") -> Any:
    return card.locator(f'[data-track="{track}"] canvas')


def at(card: Any, part: float) -> dict[str, float]:
    """A place in the waveform, as an argument of `click`."""
    box = lane(card).bounding_box()
    return {"x": box["width"] * part, "y": box["height"] / 2}


DROP = """async ([name, type]) => {
  const goods = new DataTransfer();
  goods.items.add(new File([new Uint8Array(5000)], name, { type }));
  const send = (kind) => document.querySelector("main").dispatchEvent(
    new DragEvent(kind, { dataTransfer: goods, bubbles: true, cancelable: true }));
  send("dragenter"); send("dragover");
  const seen = document.documentElement.className;
  send("drop");
  return [seen, document.documentElement.className];
}"""


def test_a_dropped_song_becomes_a_card_with_nine_tracks(
    page: Any, server: FakeServer, job: FakeJob
) -> None:
    server.songs.append(job)
    assert page.evaluate(DROP, ["Zoë – Live.wav", "audio/wav"]) == ["dragging", ""]
    card = page.locator(f'[data-job="{job.id}"]')
    card.wait_for()
    assert job.name == "Zoë – Live.wav"
    assert card.locator("[data-track]").count() == 9
    assert card.locator('[data-action="play"]').count() == 1
    assert card.locator('[data-action="play"]').is_disabled(), "nothing can be heard yet"
    job.advance(10)
    card.get_by_text("separating 50 %, listen to 0:10").wait_for()
    assert page.url.endswith(f"#/job/{job.id}")


def test_listening_before_it_is_done(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    job.advance(20, "mix", "harmonic", "percussive")
    job.advance(3.2, *STEMS)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: clock(page) > RATE)
    card.get_by_text("waiting for the next part").wait_for()
    stood = clock(page)
    assert 2.5 * RATE < stood <= 3.2 * RATE, "it stands where nothing is final yet"
    lane(card).click(position=at(card, 0.9))
    assert clock(page) <= 3.2 * RATE, "what is not final cannot be entered"
    job.advance(20, *STEMS)
    until(page, lambda: clock(page) > 4 * RATE)
    assert card.get_by_text("waiting for the next part").count() == 0
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()
    assert card.get_by_text("All as ZIP").is_visible()


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
    for key, second in (("ArrowRight", 5), ("ArrowRight", 10), ("ArrowLeft", 5),
                        ("Shift+ArrowRight", 6), ("Shift+ArrowLeft", 5)):
        page.keyboard.press(key)
        assert clock(page) == second * RATE
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


def test_downloads(page: Any, server: FakeServer, playing: Any) -> None:
    with page.expect_download() as download:
        playing.locator('[data-track="vocals"] [data-action="download"]').click()
    assert download.value.suggested_filename == "vocals.wav"
    playing.locator('[data-track="drums"] [data-action="mute"]').click()
    playing.locator('[data-track="bass"] input').fill("-3")
    playing.locator("select").select_option("flac")
    with page.expect_download() as download:
        playing.locator('[data-action="download-mix"]').click()
    assert download.value.suggested_filename == "mix.flac"
    asked = server.requests[-1]
    assert "format=flac" in asked and "gain.bass=-3.0" in asked and "gain.vocals=0.0" in asked
    assert re.search(r"mute=(\w|%2C)*drums", asked)
    for action, path in (("download-all", "all"), ("download-stem", "stems.stem.m4a")):
        link = playing.locator(f'[data-action="{action}"]')
        assert link.get_attribute("href").endswith(path)


def test_a_refused_song_says_why_and_can_be_tried_again(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Failed to load resource: the server responded with a status of 400")
    server.refusal = (400, "Unsupported audio format: .aac")
    page.set_input_files("input[type=file]", song)
    advice = page.locator(".card").get_by_text("Unsupported audio format: .aac. Choose another")
    advice.wait_for()
    server.refusal = None
    server.songs.append(job)
    page.locator('[data-action="retry"]').click()
    page.locator(f'[data-job="{job.id}"]').wait_for()
    assert page.locator(".card").count() == 1


def test_a_song_that_waits_says_its_place(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    job.queue = 3
    card = choose(page, server, job, song)
    card.get_by_text("waiting, place 3, about 15 s left").wait_for()
    assert card.get_attribute("data-phase") == "queued"


def test_what_was_lost_of_a_file_is_said(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    job.warnings = ["2 s in the middle could not be read"]
    card = choose(page, server, job, song)
    card.get_by_text("2 s in the middle could not be read.").wait_for()
    assert card.locator("[data-track]").count() == 9


def test_a_song_that_fails_says_why(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    job.error, job.state = "The model ran out of memory", "failed"
    card.get_by_text("This song could not be separated. The model ran out of memory.").wait_for()
    server.songs.append(FakeJob(music(2)))
    card.locator('[data-action="retry"]').click()
    page.locator('[data-phase="separating"]').wait_for()


def test_a_song_that_fails_while_it_plays_falls_silent(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.add_init_script(TAP)
    page.reload()
    job = constant(60)
    card = choose(page, server, job, song)
    job.advance(30)
    card.locator('[data-action="play"]:enabled').click()
    hears(page, ALL_STEMS)
    job.error, job.state = "The model ran out of memory", "failed"
    hears(page, 0)
    assert clock(page) == 0


def test_playing_while_the_server_is_away_can_be_tried_again(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Failed to load resource")
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    server.away = True
    card.locator('[data-action="play"]').click()
    page.get_by_text("The server has not answered since").wait_for()
    server.away = False
    page.get_by_text("The server has not answered since").wait_for(state="hidden")
    card.locator('[data-action="play"]').click()
    until(page, lambda: clock(page) > 1000)


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


def test_songs_are_listed_again_until_they_expire(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    job.complete()
    choose(page, server, job, song)
    second = FakeJob(music(2), "second.wav")
    choose(page, server, second, song)
    page.goto(page.url.split("#")[0])
    page.reload()
    cards = page.locator(".card")
    until(page, lambda: cards.count() == 2)
    assert cards.nth(0).get_attribute("data-job") == second.id, "the newest first"
    cards.nth(1).locator('[data-action="play"]:enabled').click()
    until(page, lambda: clock(page) > RATE)
    page.expected.append("Failed to load resource: the server responded with a status of 404")
    job.gone = True
    page.reload()
    expired = page.locator(f'[data-job="{job.id}"]')
    expired.get_by_text("no files of this song any more. Files are kept for 24 hours.").wait_for()
    expired.locator('[data-action="remove"]').click()
    until(page, lambda: cards.count() == 1)


def test_a_card_has_an_address(page: Any, server: FakeServer, url: str, job: FakeJob) -> None:
    job.complete()
    server.add(job)
    page.goto(f"{url}#/job/{job.id}")
    card = page.locator(f'[data-job="{job.id}"]')
    card.get_by_text("song.wav").wait_for()
    until(page, lambda: card.locator("[data-track]").count() == 9)


def test_cancelling_takes_the_job_away(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    card.locator('[data-action="remove"]').click()
    until(page, lambda: job.gone)
    assert page.locator(".card").count() == 0
    assert clock(page) == 0


def test_a_server_that_goes_away_and_comes_back(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Failed to load resource")
    card = choose(page, server, job, song)
    job.advance(4)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: clock(page) > 1000)
    server.away = True
    page.get_by_text("The server has not answered since").wait_for()
    assert card.is_visible(), "what was there stays"
    server.away = False
    page.get_by_text("The server has not answered since").wait_for(state="hidden")
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()
    until(page, lambda: clock(page) > 5 * RATE)


def test_another_tab(page: Any, server: FakeServer, job: FakeJob, song: Path, url: str) -> None:
    job.complete()
    other = page.context.new_page()
    other.goto(url)
    choose(page, server, job, song)
    card = other.locator(f'[data-job="{job.id}"]')
    card.get_by_text("ready", exact=True).wait_for()
    card.locator('[data-action="remove"]').click()
    assert not job.gone, "what is ready goes after a question only"
    other.get_by_role("dialog").get_by_text("Remove", exact=True).click()
    until(page, lambda: page.locator(".card").count() == 0 and job.gone)


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


@pytest.mark.parametrize(("status", "detail", "advice"), [
    (401, "Missing API key", "Missing API key. Give a key that is let in, then try again."),
    (413, "File too large", "File too large. Choose another file, or try this one again."),
    (429, "Too many requests", "Too many requests. Try again in a moment."),
    (503, "The queue is full", "The queue is full. Try again in a moment."),
])  # fmt: skip
def test_what_to_do_about_a_refusal(
    page: Any, server: FakeServer, song: Path, status: int, detail: str, advice: str
) -> None:
    page.expected.append("Failed to load resource")
    server.refusal = (status, detail)
    page.set_input_files("input[type=file]", song)
    page.locator(".card").get_by_text(advice).wait_for()


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


CLICK = """(part) => {
  const lane = document.querySelector('[data-track="vocals"] canvas');
  const { left, top, width } = lane.getBoundingClientRect();
  lane.setPointerCapture = () => undefined; // there is no pointer
  for (const kind of ["pointerdown", "pointerup"]) {
    lane.dispatchEvent(new PointerEvent(kind, { clientX: left + part * width, clientY: top }));
  }
}"""


def test_an_hour_takes_little_memory(browser: Any, server: FakeServer, url: str) -> None:
    job = constant(3600)
    job.complete()
    server.songs.append(job)
    tab = Tab(browser, url)
    tab.until("document.querySelector('main') !== null")
    tab.run(f"({DROP})(['hour.wav', 'audio/wav'])")
    tab.until("""document.querySelector('[data-action="play"]:enabled') !== null""")
    tab.run("""document.querySelector('[data-action="play"]').click()""")
    for part in (0.1, 0.9, 0.3, 0.7, 0.5):
        tab.run(f"({CLICK})({part})")
        tab.until(f"document.documentElement.dataset.clock > {(3600 * part + 2) * RATE}")
        assert page_megabytes() < 150
    tab.close()


def test_a_key_where_the_server_wants_one(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Failed to load resource: the server responded with a status of 401")
    server.key = "sk_live_good"
    page.set_input_files("input[type=file]", song)
    page.get_by_label("This server wants a key").fill("sk_live_good")
    page.get_by_text("Use it").click()
    job.complete()
    server.songs.append(job)
    page.locator('[data-action="retry"]').click()
    card = page.locator(f'[data-job="{job.id}"]')
    card.get_by_text("ready", exact=True).wait_for()
    with page.expect_download() as download:
        card.locator('[data-track="vocals"] [data-action="download"]').click()
    assert download.value.suggested_filename
    assert "sk_live_good" not in page.evaluate("JSON.stringify(localStorage)")


def test_on_a_phone_everything_is_within_a_thumbs_reach(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    job.complete()
    card = choose(page, server, job, song)
    solo = card.locator('[data-track="drums"] [data-action="solo"]')
    assert not solo.is_visible()
    card.get_by_label("Controls of Drums").click()
    solo.click()
    sizes = page.evaluate("""() => [...document.querySelectorAll("button, a, select, label.target")]
        .filter((element) => element.offsetParent !== null || element.closest(".transport"))
        .map((element) => element.getBoundingClientRect())
        .filter((box) => box.width > 0)
        .map((box) => [box.width, box.height, box.right])""")
    assert min(height for _, height, _ in sizes) >= 44
    assert min(width for width, _, _ in sizes) >= 44
    assert max(right for *_, right in sizes) <= 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_everything_has_a_name(page: Any, server: FakeServer, job: FakeJob, song: Path) -> None:
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    for role in ("button", "link", "slider", "combobox", "toolbar", "img"):
        for element in page.get_by_role(role).all():
            tree = element.aria_snapshot()
            assert re.search(r'- \w+ "[^"]+"', tree), tree
