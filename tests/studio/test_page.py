"""The page in a browser: songs, cards, keys and tabs."""

import base64
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import (
    ALL_STEMS,
    DROP,
    TAP,
    at,
    choose,
    clock,
    constant,
    hears,
    lane,
    until,
)
from tests.studio.hearing import playing as playing

from .conftest import ARGUMENTS, CHROMIUM
from .fakes import RATE, STEMS, FakeJob, FakeServer, music


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


@pytest.mark.parametrize(("tracks", "heard"), [
    ("vocals instrumental lead backing", "vocals instrumental"),
    ("vocals drums bass other instrumental kick snare", "vocals drums bass other"),
    ("vocals drums bass other guitar piano", "vocals drums bass other guitar piano"),
    ("vocals drums bass other guitar", "vocals drums bass other guitar"),
    ("vocals instrumental drums bass", "vocals instrumental"),
    ("instrumental drums guitar kick", "instrumental"),
    ("vocals lead_vocals backing_vocals", "vocals"),
    ("drums bass kick", "drums bass"),
    ("kick snare hh", "kick snare hh"),
    ("winds strings", "winds strings"),
    ("vocals harmonic percussive main", "vocals"),
])  # fmt: skip
def test_at_first_the_song_is_heard_once(
    page: Any, server: FakeServer, url: str, tracks: str, heard: str
) -> None:
    """A job's tracks may be parts of others of its tracks."""
    wave = music(1)["vocals"]
    job = server.add(FakeJob(dict.fromkeys([*tracks.split(), "mix"], wave)))
    job.complete()
    page.goto(f"{url}#/job/{job.id}")
    card = page.locator(f'[data-job="{job.id}"]')
    card.get_by_text("ready", exact=True).wait_for()
    rows = card.locator("[data-track]")
    until(page, lambda: rows.count() == len(tracks.split()))
    sounding = [row.get_attribute("data-track") for row in rows.all()
                if row.locator('[data-action="mute"][aria-pressed="false"]').count()]  # fmt: skip
    assert sounding == heard.split()


def test_there_is_no_mix_to_download_where_nothing_is_heard(playing: Any) -> None:
    mix = playing.locator('[data-action="download-mix"]')
    for track in STEMS:
        playing.locator(f'[data-track="{track}"] [data-action="mute"]').click()
    playing.locator('[data-action="download-mix"][aria-disabled="true"]').wait_for()
    assert mix.get_attribute("href") is None
    assert mix.get_attribute("title").startswith("There is no mix: every track is muted")
    mix.hover()  # a pointer on it is shown its title
    playing.locator('[data-track="bass"] [data-action="mute"]').click()
    playing.locator('[data-action="download-mix"][href*="gain.bass"]').wait_for()
    assert mix.get_attribute("title").startswith("The mix as it is set")
    playing.locator('[data-track="bass"] input').fill("-48")
    playing.locator('[data-action="download-mix"][aria-disabled="true"]').wait_for()
    playing.locator('[data-action="original"]').click()
    playing.locator('[data-action="download-mix"][href*="gain.mix=0.0"]').wait_for()


@pytest.mark.parametrize(("missing", "offered"), [
    ((), True), (("main", "harmonic"), True), (("drums",), False), (("vocals", "other"), False),
])  # fmt: skip
def test_the_stem_file_is_offered_where_there_are_its_four_stems(
    page: Any, server: FakeServer, url: str, missing: tuple[str, ...], offered: bool
) -> None:
    """An order may have named other stems, or a model that makes others."""
    tracks = {name: wave for name, wave in music(2).items() if name not in missing}
    job = server.add(FakeJob(tracks))
    job.complete()
    page.goto(f"{url}#/job/{job.id}")
    card = page.locator(f'[data-job="{job.id}"]')
    card.locator('[data-action="download-all"]').wait_for()
    assert card.locator("[data-track]").count() == 9 - len(missing)
    assert card.locator('[data-action="download-stem"]').is_visible() == offered


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


COUNTED = """() => {
  window.counts = {}; // how often each card has been shown anew
  new MutationObserver((records) => {
    for (const { target } of records) {
      if (target.dataset.action !== "remove") continue;
      const { job } = target.closest("article").dataset;
      window.counts[job] = (window.counts[job] ?? 0) + 1;
    }
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["aria-label"] });
}"""


@pytest.mark.parametrize("there", [True, False])
def test_of_many_songs_each_is_shown_by_itself(
    page: Any, server: FakeServer, job: FakeJob, there: bool
) -> None:
    """What one song's answer costs does not grow with the list."""
    if not there:
        page.expected.append("Failed to load resource: the server responded with a status of 404")
    songs = [server.add(FakeJob(job.tracks)) for _ in range(40)]
    for song in songs:
        song.complete()
        song.gone = not there
    server.add(job)
    page.evaluate("(songs) => localStorage.setItem('stembox.songs', JSON.stringify(songs))", [
        {"id": song.id, "name": "x.wav", "added": time.time() * 1000} for song in [job, *songs]
    ])  # fmt: skip
    page.add_init_script(f"({COUNTED})()")
    page.reload()
    phase = "done" if there else "expired"
    until(page, lambda: page.locator(f'[data-phase="{phase}"]').count() == 40)
    counts = page.evaluate("window.counts")
    assert len(counts) == 41
    assert max(count for name, count in counts.items() if name != job.id) <= 4, "and not 40"
    page.locator('[data-phase="separating"]').wait_for()
    page.evaluate("window.counts = {}")
    job.advance(10)
    page.locator(f'[data-job="{job.id}"]').get_by_text("separating 50 %").wait_for()
    assert list(page.evaluate("window.counts")) == [job.id]


def test_a_card_has_an_address(page: Any, server: FakeServer, url: str, job: FakeJob) -> None:
    job.complete()
    server.add(job)
    page.goto(f"{url}#/job/{job.id}")
    card = page.locator(f'[data-job="{job.id}"]')
    card.get_by_text("song.wav").wait_for()
    until(page, lambda: card.locator("[data-track]").count() == 9)


def test_a_song_by_its_address_stays_while_the_server_wants_a_key(
    page: Any, server: FakeServer, url: str, job: FakeJob
) -> None:
    """It is not in the browser's list yet, whatever another tab puts there."""
    page.expected.append("Failed to load resource")
    job.complete()
    server.add(job)
    server.key = "sk_live_good"
    page.goto(f"{url}#/job/{job.id}")
    page.get_by_label("This server wants a key").wait_for()
    other = page.context.new_page()
    other.goto(url)
    other.evaluate("""localStorage.setItem("stembox.songs",
        JSON.stringify([{ id: "another", name: "another.wav", added: Date.now() }]))""")
    page.locator('[data-job="another"]').wait_for()
    assert page.locator(f'[data-job="{job.id}"]').count() == 1
    assert page.url.endswith(f"#/job/{job.id}")
    page.get_by_label("This server wants a key").fill("sk_live_good")
    page.get_by_text("Use it").click()
    page.locator(f'[data-job="{job.id}"]').get_by_text("ready", exact=True).wait_for()


def test_cancelling_takes_the_job_away(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    card.locator('[data-action="remove"]').click()
    until(page, lambda: job.gone and page.locator(".card").count() == 0)
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
    page.expected.append("Failed to load resource")  # of a song that is gone
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


def test_a_key_where_the_server_wants_one(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Failed to load resource")
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


def test_everything_has_a_name(page: Any, server: FakeServer, job: FakeJob, song: Path) -> None:
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    for role in ("button", "link", "slider", "combobox", "toolbar", "img"):
        for element in page.get_by_role(role).all():
            tree = element.aria_snapshot()
            assert re.search(r'- \w+ "[^"]+"', tree), tree


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
