"""Songs whose files the server has removed: what the list says of them, and when they leave it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import TAP, choose, constant, hears, until

from .fakes import FakeJob, FakeServer, music

DAY = 24 * 3600
MISSING = "Failed to load resource: the server responded with a status of 404"
SEEN_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


def keep(page: Any, *songs: dict[str, Any]) -> None:
    """Puts songs into the browser's list, as if they had been made before, and opens the page."""
    page.evaluate("(songs) => localStorage.setItem('stembox.songs', songs)", json.dumps(songs))
    page.reload()


def kept(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "JSON.parse(localStorage.getItem('stembox.songs') ?? '[]')"
    )
    return found


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"id": f"gone-{name}", "name": name, "added": time.time() * 1000, "markers": []} | more


@pytest.fixture(autouse=True)
def missing(page: Any) -> None:
    page.expected.append(MISSING)


def test_an_expired_song_says_so_and_can_be_forgotten(page: Any, server: FakeServer) -> None:
    keep(page, entry("one"))
    card = page.locator('[data-phase="expired"]')
    card.get_by_text("It leaves this list by itself after a day.").wait_for()
    assert not card.locator('[data-action="forget-expired"]').is_visible(), "there is one only"
    asked = len(server.requests)
    card.locator('[data-action="forget"]').click()
    until(page, lambda: page.locator(".card").count() == 0)
    assert kept(page) == []
    assert not [line for line in server.requests[asked:] if line.startswith("DELETE")]


@pytest.mark.parametrize(("hours", "words"), [
    (0.0167, "1 minute"), (0.5, "30 minutes"), (0.9999, "1 hour"), (1, "1 hour"),
    (1.5, "1.5 hours"), (24, "24 hours"), (48, "2 days"), (720, "30 days"),
])  # fmt: skip
def test_for_how_long_files_are_kept(
    page: Any, server: FakeServer, hours: float, words: str
) -> None:
    server.retention = hours
    keep(page, entry("one"))
    page.locator(".advice").get_by_text(f"Files are kept for {words}.").wait_for()


def test_all_expired_songs_can_be_forgotten_at_once(
    page: Any, server: FakeServer, job: FakeJob
) -> None:
    server.add(job).complete()
    keep(page, entry("one"), entry("there", id=job.id), entry("two"), entry("three"))
    button = page.get_by_role("button", name="Forget all 3 expired").first
    button.click()
    until(page, lambda: page.locator(".card").count() == 1)
    assert [song["id"] for song in kept(page)] == [job.id]


def test_an_expired_song_leaves_the_list_a_day_after_it_was_seen_so(page: Any) -> None:
    now = time.time() * 1000
    keep(
        page,
        entry("long ago", gone=now - 1.1 * DAY * 1000),
        entry("just so", gone=now - 0.5 * DAY * 1000),
        entry("unseen", added=now - 9 * DAY * 1000),
    )
    cards = page.locator('[data-phase="expired"]')
    until(page, lambda: cards.count() == 2)
    cards.filter(has_text="unseen").wait_for()
    cards.filter(has_text="just so").wait_for()
    since = {song["name"]: song.get("gone") for song in kept(page)}
    assert since["just so"] == pytest.approx(now - 0.5 * DAY * 1000), "the first time counts"
    assert since["unseen"] >= now - 1000


def test_a_song_that_is_there_after_all_is_one_like_the_others(
    page: Any, server: FakeServer, job: FakeJob
) -> None:
    server.add(job).complete()
    keep(page, entry("back", id=job.id, gone=time.time() * 1000))
    page.locator(".card").get_by_text("ready", exact=True).wait_for()
    until(page, lambda: "gone" not in kept(page)[0])


def test_a_song_that_expires_while_the_page_is_open(
    page: Any, server: FakeServer, job: FakeJob
) -> None:
    server.add(job).complete()
    young = FakeJob(music(2))
    server.add(young).complete()
    keep(
        page,
        entry("old", id=job.id, added=(time.time() - 1.5 * DAY) * 1000),
        entry("young", id=young.id),
    )
    ready = page.locator(".card").get_by_text("ready", exact=True)
    until(page, lambda: ready.count() == 2)
    job.gone = True
    asked = len(server.requests)
    page.evaluate(SEEN_AGAIN)
    page.locator('[data-phase="expired"]').filter(has_text="old").wait_for()
    assert ready.count() == 1
    assert not [line for line in server.requests[asked:] if young.id in line], "it cannot have"


def test_a_song_that_expires_while_it_plays_falls_silent(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.add_init_script(TAP)
    page.reload()
    job = constant(600)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]').click()
    until(page, lambda: page.evaluate("window.heard()") != 0)
    job.gone = True
    page.keyboard.press("Shift+ArrowRight")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.locator('[data-phase="expired"]').wait_for()
    hears(page, 0)
    server.songs.append(constant(2))
    page.locator('[data-action="retry"]').click()
    page.locator('[data-phase="separating"]').wait_for()
    assert page.locator(".card").count() == 1, "the file was still at hand"


def test_an_address_of_no_song_is_not_remembered(page: Any, url: str) -> None:
    page.goto(f"{url}#/job/0123-none")
    page.reload()
    page.locator(".card").get_by_text("has no such song, or none any more.").wait_for()
    assert kept(page) == []


def test_a_song_by_its_address_is_remembered_by_its_name(
    page: Any, server: FakeServer, url: str, job: FakeJob
) -> None:
    server.add(job).complete()
    page.goto(f"{url}#/job/{job.id}")
    page.reload()
    page.locator(f'[data-job="{job.id}"]').get_by_text("song.wav").wait_for()
    assert [(song["id"], song["name"]) for song in kept(page)] == [(job.id, "song.wav")]
