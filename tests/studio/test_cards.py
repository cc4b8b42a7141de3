"""What a song's card says: its place, what was lost, why it failed, what to do about it."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import ALL_STEMS, TAP, choose, clock, constant, hears, until

from .fakes import FakeJob, FakeServer, music


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


def test_cancelling_takes_the_job_away(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    card.locator('[data-action="remove"]').click()
    until(page, lambda: job.gone and page.locator(".card").count() == 0)
    assert clock(page) == 0


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
