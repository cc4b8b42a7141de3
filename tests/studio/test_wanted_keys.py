"""A server that wants a key: asked for, right or wrong, and taken along to songs and downloads."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import TAP, choose, clock, constant, heard, until

from .conftest import FAILED
from .fakes import FakeJob, FakeServer

DESCRIBED = "(field) => document.getElementById(field.getAttribute('aria-describedby')).textContent"


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


def test_the_demo_song_where_the_server_wants_a_key(
    page: Any, server: FakeServer, job: FakeJob
) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_good"
    server.songs.append(job)
    page.locator('[data-action="demo"]').click()
    page.get_by_label("This server wants a key").fill("sk_live_good")
    page.get_by_text("Use it").click()
    page.locator('[data-action="demo"]').click()
    page.locator(f'[data-job="{job.id}"]').wait_for()


def test_a_key_that_no_header_can_carry(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_good"
    page.set_input_files("input[type=file]", song)
    key = page.get_by_label("This server wants a key")
    key.fill("“sk_live_good”")
    page.get_by_text("Use it").click()
    page.get_by_text("This key is not let in. This is not a key").wait_for()
    key.fill("sk_live_good")
    page.get_by_text("Use it").click()
    server.songs.append(job)
    page.locator('[data-action="retry"]').click()
    page.locator(f'[data-job="{job.id}"]').wait_for()


def test_a_wrong_key_is_said_to_be_wrong(page: Any, server: FakeServer, song: Path) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_good"
    page.set_input_files("input[type=file]", song)
    key = page.get_by_label("This server wants a key")
    kept = "sessionStorage.getItem('stembox.key')"
    key.fill("sk_live_wrong")
    page.get_by_text("Use it").click()
    said = page.get_by_role("alert").get_by_text("This key is not let in. Missing API key")
    said.wait_for()
    assert key.is_visible()
    assert key.get_attribute("aria-invalid") == "true"
    assert key.evaluate(DESCRIBED) == said.inner_text()
    assert page.evaluate(kept) is None
    key.fill("sk_live_good")
    page.get_by_text("Use it").click()
    key.wait_for(state="hidden")
    said.wait_for(state="hidden")
    until(page, lambda: page.evaluate(kept) == "sk_live_good")
    assert key.get_attribute("aria-invalid") == "false"


def test_blanks_are_no_key(page: Any, server: FakeServer, song: Path) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_good"
    page.set_input_files("input[type=file]", song)
    key = page.get_by_label("This server wants a key")
    key.fill("   ")
    page.get_by_text("Use it").click()
    assert key.is_visible()
    assert key.input_value() == ""


def test_a_key_that_ends_while_a_finished_song_plays(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.expected.append(FAILED)
    page.add_init_script(TAP)
    page.reload()
    job = constant(600)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]').click()
    until(page, lambda: heard(page) != 0)
    server.key = "sk_live_new"
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    key = page.get_by_label("This server wants a key")
    key.fill("sk_live_new")
    page.get_by_text("Use it").click()
    before = clock(page)
    until(page, lambda: clock(page) > before + 44_100)


@pytest.fixture
def finished(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    """The card of a finished song on a server that wants a key, and has it."""
    server.key = "sk_live_good"
    page.evaluate("sessionStorage.setItem('stembox.key', 'sk_live_good')")
    page.reload()
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    return card


def test_a_download_that_is_refused_says_so(page: Any, server: FakeServer, finished: Any) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_new"
    finished.locator('[data-track="vocals"] [data-action="download"]').click()
    page.get_by_text("The file could not be downloaded. Missing API key").wait_for()
    page.get_by_label("This server wants a key").wait_for()


def test_a_download_with_a_key_says_how_far_it_is(
    page: Any, server: FakeServer, finished: Any
) -> None:
    link = finished.locator('[data-track="vocals"] [data-action="download"]')
    server.held = True
    link.focus()
    page.keyboard.press("Enter")
    fetching = page.get_by_text("Fetching 12.0 MB: 50 %.")
    fetching.wait_for()
    assert link.get_attribute("aria-disabled") == "true"
    page.keyboard.press("Enter")
    with page.expect_download() as download:
        server.held = False
    assert download.value.suggested_filename == "vocals.wav"
    assert Path(download.value.path()).stat().st_size == 12_000_000
    fetching.wait_for(state="hidden")
    assert link.get_attribute("aria-disabled") is None
    assert sum("/download/" in request for request in server.requests) == 1


def test_a_download_with_a_key_that_is_cut_off(
    page: Any, server: FakeServer, finished: Any
) -> None:
    page.expected.append(FAILED)
    link = finished.locator('[data-track="vocals"] [data-action="download"]')
    server.held = server.cut = True
    link.click()
    page.get_by_text("Fetching 12.0 MB: 50 %.").wait_for()
    server.held = False
    page.get_by_text("The file could not be downloaded. It was cut off after 6.0 MB.").wait_for()
    with page.expect_download():
        link.click()
