"""What people who do not see the page are told: by its one live region, names and values."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import choose, clock, until

from .conftest import FAILED
from .fakes import RATE, FakeJob, FakeServer

TOLD = """
window.told = [];
addEventListener("DOMContentLoaded", () => new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes) {
    if (!target.matches("#studio > [role=status]")) continue;
    for (const { textContent } of addedNodes) window.told.push(textContent);
  }
}).observe(document.querySelector("#studio"), { subtree: true, childList: true }));
"""


@pytest.fixture(autouse=True)
def listening(page: Any) -> None:
    page.add_init_script(TOLD)
    page.reload()


def told(page: Any) -> list[str]:
    """Since this was asked before."""
    return list(page.evaluate("window.told.splice(0)"))


def hears(page: Any, *words: str) -> None:
    said: list[str] = []
    until(page, lambda: said.extend(told(page)) or said == list(words))


@pytest.fixture
def card(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    job.complete()
    found = choose(page, server, job, song)
    found.get_by_text("ready", exact=True).wait_for()
    told(page)
    return found


def test_files_that_are_refused_at_once(page: Any, server: FakeServer, tmp_path: Path) -> None:
    page.route("**/config", lambda route: route.fulfill(
        json={"max_file_size_mb": 1, "pipeline_stages": [], "supported_formats": ["wav"]}))
    page.reload()
    page.get_by_text("up to 1 MB").wait_for()
    files = []
    for name in ("one.wav", "two.wav"):
        files.append(tmp_path / name)
        files[-1].write_bytes(bytes(2_000_000))
    why = "This file is larger than 1 MB. Choose another file, or try this one again."
    page.set_input_files("input[type=file]", files[0])
    hears(page, f"one.wav: {why}")
    page.set_input_files("input[type=file]", files)
    hears(page, f"2 songs: {why}")


def test_songs_that_the_list_remembers_are_no_news(page: Any, card: Any) -> None:
    page.reload()
    card.get_by_text("ready", exact=True).wait_for()
    assert told(page) == []


def test_a_song_from_its_file_to_its_end(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    job.advance(10)
    card.get_by_text("separating 50 %").wait_for()
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()
    said = told(page)
    assert all(line.startswith(f"{song.name}: ") for line in said)
    assert any("separating 50 %" in line for line in said)
    assert said[-1] == f"{song.name}: ready"
    assert len(said) == len(set(said)) <= 6


def test_what_keys_have_done(page: Any, card: Any) -> None:
    page.keyboard.press("ArrowRight")
    for key, words in (
        ("m", "Marker set at 0:05.0."), ("m", "Marker deleted."), ("m", "Marker set at 0:05.0."),
        ("o", "Original."), ("o", "Stems."), ("g", "Spectrogram shown."),
        ("g", "Spectrogram hidden."), ("l", "Loop starts at 0:05.0."), ("l", "No loop."),
        ("l", "Loop starts at 0:05.0."),
    ):  # fmt: skip
        page.keyboard.press(key)
        hears(page, words)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    hears(page, "Loop 0:05.0 to 0:10.0.")
    page.keyboard.press("l")
    hears(page, "No loop.")


def test_a_wait_is_told_once(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    job.advance(3.2)
    card.locator('[data-action="play"]:enabled').click()
    words = "Waiting for the next part."
    said: list[str] = []
    until(page, lambda: said.extend(told(page)) or words in said)
    job.advance(10)
    until(page, lambda: clock(page) > 4 * RATE)
    until(page, lambda: said.extend(told(page)) or said.count(words) == 2)
    job.complete()
    until(page, lambda: clock(page) > 12 * RATE)
    assert [*said, *told(page)].count(words) == 2


def test_that_the_server_wants_a_key(page: Any, server: FakeServer) -> None:
    page.expected.append(FAILED)
    server.key = "sk_live_good"
    page.locator('[data-action="demo"]').click()
    hears(page, "This server wants a key: its field is above the songs.")


def test_how_long_a_song_is_that_was_not_played(page: Any, card: Any) -> None:
    position = card.get_by_role("slider", name="Position")
    until(page, lambda: position.get_attribute("aria-valuetext") == "0:00 of 0:20")
    assert position.get_attribute("aria-valuemax") == "20"
    page.keyboard.press("ArrowRight")
    until(page, lambda: position.get_attribute("aria-valuetext") == "0:05 of 0:20")
    assert position.get_attribute("aria-valuenow") == "5"


def test_progress_is_told_while_there_is_any(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    card = choose(page, server, job, song)
    job.advance(10)
    bar = card.get_by_role("progressbar")
    until(page, lambda: bar.get_attribute("aria-valuenow") == "50")
    height = card.locator(".progress").bounding_box()["height"]
    job.error, job.state = "The model ran out of memory", "failed"
    card.get_by_text("could not be separated").wait_for()
    assert bar.count() == 0
    assert card.locator(".progress").bounding_box()["height"] == height, "nothing jumps"
