"""Where the focus is once what had it has gone: never nowhere."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import choose, clock, until

from .conftest import FAILED
from .fakes import RATE, FakeJob, FakeServer, music

FOCUSED = """() => {
  const { activeElement: one } = document;
  return one.closest(".transport") && one.dataset.action === "play" ? "the player's play"
    : one.getAttribute("aria-label") ?? one.id ?? one.tagName;
}"""


def focused(page: Any) -> str:
    return str(page.evaluate(FOCUSED))


def test_play_on_a_card_that_unfolds(page: Any, card: Any) -> None:
    card.locator('[data-action="open"]').click()
    card.locator("header [data-action='play']").focus()
    page.keyboard.press("Enter")
    until(page, lambda: focused(page) == "the player's play")
    until(page, lambda: clock(page) > 1000)


def test_markers_one_after_the_other(page: Any, card: Any) -> None:
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("m")
    card.get_by_role("button", name="Delete Marker 2").focus()
    for rest in ("Delete Marker 3", "Delete Marker 1"):
        page.keyboard.press("Enter")
        until(page, lambda rest=rest: focused(page) == rest)
    page.keyboard.press("Enter")
    mark = "document.activeElement.dataset.action === 'set-marker'"
    until(page, lambda: page.evaluate(mark))


def test_the_last_marker_on_a_phone(page: Any, card: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("m")
    card.get_by_role("button", name="Delete Marker 1").focus()
    page.keyboard.press("Enter")
    until(page, lambda: focused(page) == "Tempo, key, markers")


def test_a_name_that_is_typed_keeps_no_key_from_the_player(page: Any, card: Any) -> None:
    """Its marker is deleted with the mouse: the next one must not go at the next key."""
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("m")
    card.get_by_label("Name of the marker at 0:05.0").focus()
    card.get_by_role("button", name="Delete Marker 1").click()
    until(page, lambda: card.locator(".markers li").count() == 1)
    page.keyboard.press(" ")
    until(page, lambda: clock(page) > 10.1 * RATE)


@pytest.mark.parametrize(("way", "back", "times"), [
    ("Faster", "Slower", 20), ("Slower", "Faster", 10),
    ("Higher", "Lower", 12), ("Lower", "Higher", 12),
])  # fmt: skip
def test_tempo_and_key_at_their_ends(
    page: Any, card: Any, way: str, back: str, times: int
) -> None:
    card.get_by_role("button", name=way, exact=True).focus()
    for _ in range(times):
        assert focused(page) == way
        page.keyboard.press("Enter")
    assert focused(page) == back


@pytest.mark.parametrize("by", ["keyboard", "mouse"])
def test_a_file_that_was_chosen(
    page: Any, server: FakeServer, job: FakeJob, song: Path, by: str
) -> None:
    """The space bar plays, and Tab goes into the song's card."""
    job.complete()
    server.songs.append(job)
    with page.expect_file_chooser() as chooser:
        if by == "mouse":
            page.get_by_text("choose a file").click()
        else:
            page.locator("#songs").focus()
            page.keyboard.press("Space")
    chooser.value.set_files(song)
    card = page.locator(f'[data-job="{job.id}"]')
    card.locator('[data-action="play"]:enabled').wait_for()
    assert focused(page) == song.name
    page.keyboard.press("Space")
    until(page, lambda: clock(page) > 1000)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.action") == "open"
    assert card.get_attribute("tabindex") is None, "a click on it takes no focus"


def test_a_whole_card_that_goes(
    page: Any, server: FakeServer, song: Path
) -> None:
    jobs = [FakeJob(music(2, seed)) for seed in (1, 2)]
    for job in jobs:
        card = choose(page, server, job, song)
    assert card.evaluate("(card) => card === document.activeElement")
    card.locator('[data-action="remove"]').click()
    first = page.locator(f'[data-job="{jobs[0].id}"]')
    until(page, lambda: first.evaluate("(card) => card === document.activeElement"))


@pytest.mark.parametrize("songs", [0, 1])
def test_the_right_key(
    page: Any, server: FakeServer, job: FakeJob, song: Path, songs: int
) -> None:
    page.expected.append(FAILED)
    if songs:
        choose(page, server, job, song)
    server.key = "sk_live_good"
    page.locator('[data-action="demo"]').click()
    page.get_by_label("This server wants a key").fill("sk_live_good")
    page.keyboard.press("Enter")
    until(page, lambda: focused(page) == (song.name if songs else "songs"))
