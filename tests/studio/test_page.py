"""The page in a browser: songs, their list and addresses, keys and tabs."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import DROP, choose, clock, until

from .fakes import RATE, FakeJob, FakeServer, music


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


def test_everything_has_a_name(page: Any, server: FakeServer, job: FakeJob, song: Path) -> None:
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    for role in ("button", "link", "slider", "combobox", "toolbar", "img"):
        for element in page.get_by_role(role).all():
            tree = element.aria_snapshot()
            assert re.search(r'- \w+ "[^"]+"', tree), tree


def test_the_songs_keys_do_nothing_where_the_song_is_not_seen(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: clock(page) > 1000)
    page.get_by_role("link", name="Account").click()
    page.get_by_label("API key").evaluate("(input) => input.blur()")
    for key in ("m", "o", "1"):
        page.keyboard.press(key)
    page.keyboard.press("Space")  # what sounds can be stopped from everywhere
    page.get_by_role("link", name="Songs").click()
    card.get_by_label("Play", exact=True).wait_for()
    assert card.locator(".markers li").count() == 0
    assert card.locator('[data-action="original"]').get_attribute("aria-pressed") == "false"
    assert card.locator('[data-action="solo"][aria-pressed="true"]').count() == 0


def test_the_address_of_the_open_song_comes_back_with_it(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    choose(page, server, job, song)
    until(page, lambda: page.url.endswith(f"#/job/{job.id}"))
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name="Songs").click()
    until(page, lambda: page.url.endswith(f"#/job/{job.id}"))


def test_the_focus_goes_on_to_the_next_card(page: Any, server: FakeServer, song: Path) -> None:
    jobs = [FakeJob(music(2, seed)) for seed in (1, 2, 3)]
    for job in jobs:
        choose(page, server, job, song)

    def focused() -> str | None:
        return page.evaluate("document.activeElement.closest('[data-job]')?.dataset.job")

    page.locator(f'[data-job="{jobs[2].id}"] [data-action="remove"]').focus()
    for rest in (jobs[1], jobs[0]):
        page.keyboard.press("Enter")
        until(page, lambda rest=rest: focused() == rest.id)
        page.locator(f'[data-job="{rest.id}"] [data-action="remove"]').focus()
    page.keyboard.press("Enter")
    until(page, lambda: page.evaluate("document.activeElement.id") == "songs")
