"""Markers in a browser: set, named, gone to, deleted, kept, and the same in another tab."""

from typing import Any

from tests.studio.hearing import clock, until

from .fakes import RATE, FakeJob


def names(card: Any) -> list[str]:
    return [field.input_value() for field in card.get_by_label("Name of the marker").all()]


def mark_at(page: Any, *steps: str) -> None:
    for key in steps:
        page.keyboard.press(key)
    page.keyboard.press("m")


def test_set_named_and_gone_to(page: Any, card: Any) -> None:
    mark_at(page, "ArrowRight")
    mark_at(page, "ArrowRight", "ArrowRight")
    card.locator('[data-action="set-marker"]').click()
    assert names(card) == ["Marker 1"], "at a marker, it is deleted"
    mark_at(page)
    mark_at(page, "Home", "Shift+ArrowRight")
    assert names(card) == ["Marker 3", "Marker 1", "Marker 2"], "in the order of the song"
    field = card.get_by_label("Name of the marker at 0:05.0")
    field.fill("  Chorus ")
    field.press("Enter")
    assert names(card) == ["Marker 3", "Chorus", "Marker 2"]
    page.keyboard.press("k")
    assert clock(page) == 5 * RATE
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert clock(page) == 15 * RATE, "behind the last there is none"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert clock(page) == RATE
    card.get_by_role("button", name="Go to Chorus").click()
    assert clock(page) == 5 * RATE
    card.get_by_role("button", name="Delete Chorus").click()
    assert names(card) == ["Marker 3", "Marker 2"]


def test_a_click_beside_a_flag_means_the_marker(page: Any, card: Any) -> None:
    mark_at(page, "ArrowRight", "ArrowRight")
    page.keyboard.press("Home")
    ruler = card.locator(".ruler")
    width = ruler.bounding_box()["width"]
    ruler.click(position={"x": width / 2 + 4, "y": 5})
    assert clock(page) == 10 * RATE
    ruler.click(position={"x": width / 2 + 20, "y": 5})
    assert clock(page) > 10 * RATE


def test_kept_with_the_song_and_seen_in_another_tab(page: Any, card: Any, job: FakeJob) -> None:
    mark_at(page, "ArrowRight")
    card.get_by_label("Name of the marker").fill("Bridge")
    page.keyboard.press("Enter")
    page.reload()
    until(page, lambda: names(card) == ["Bridge"])
    other = page.context.new_page()
    other.goto(page.url)
    twin = other.locator(f'[data-job="{job.id}"]')
    until(other, lambda: names(twin) == ["Bridge"])
    twin.get_by_role("button", name="Delete Bridge").click()
    until(page, lambda: names(card) == [])


def test_what_somebody_else_has_kept_there_does_no_harm(page: Any, card: Any, job: FakeJob) -> None:
    page.evaluate("""(id) => localStorage.setItem("stembox.songs", JSON.stringify([{
      id, name: "song", added: 1,
      markers: [{ frame: "x", name: 1 }, null, { frame: 44100, name: "good" }],
    }]))""", job.id)  # fmt: skip
    page.reload()
    until(page, lambda: names(card) == ["good"])
