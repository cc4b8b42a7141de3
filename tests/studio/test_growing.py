"""Songs that are still made: heard and drawn as far as they are, and an original that goes."""

from pathlib import Path
from typing import Any

from tests.studio.hearing import ALL_STEMS, TAP, at, choose, clock, constant, hears, lane, until

from .fakes import RATE, STEMS, FakeJob, FakeServer


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


def separating(page: Any, server: FakeServer, song: Path, seconds: float) -> tuple[FakeJob, Any]:
    """A minute of constants of which so much is final, and its card; it plays."""
    page.add_init_script(TAP)
    page.reload()
    job = constant(60)
    job.advance(seconds)
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').click()
    return job, card


def test_an_original_that_goes_with_the_end(
    page: Any, server: FakeServer, song: Path
) -> None:
    """Jobs of one stem do not keep it: what was made of it is heard from then on."""
    job, card = separating(page, server, song, 60)
    original = card.locator('[data-action="original"]')
    original.click()
    hears(page, 8192)
    job.complete()
    job.final["mix"] = 0
    hears(page, ALL_STEMS)
    assert original.is_disabled()
    stood = clock(page)
    page.keyboard.press("o")
    until(page, lambda: clock(page) > stood + RATE)
    hears(page, ALL_STEMS)


def test_what_was_not_fetched_before_the_original_went(
    page: Any, server: FakeServer, song: Path
) -> None:
    job, card = separating(page, server, song, 59)
    until(page, lambda: any("/peaks" in line for line in server.requests))
    hears(page, ALL_STEMS)
    job.complete()
    job.final["mix"] = 0
    card.get_by_text("ready", exact=True).wait_for()
    lane(card).click(position=at(card, 0.6))
    until(page, lambda: clock(page) > 37 * RATE)
    hears(page, ALL_STEMS)


# Whether a track's waveform is hatched at a part of its width: else the first row is empty.
HATCHED = """([track, part]) => {
  const canvas = document.querySelector(`[data-track="${track}"] canvas`);
  const { width } = canvas;
  const { data } = canvas.getContext("2d").getImageData(part * width, 0, 0.04 * width, 1);
  return data.some((value) => value > 0);
}"""


def hatched(page: Any, track: str, part: float) -> bool:
    return bool(page.evaluate(HATCHED, [track, part]))


def test_the_waveform_is_whole_where_the_original_goes(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """What goes is more than what the end adds to the stem."""
    page.expected.append("Canvas2D: Multiple readback")
    job.advance(20, "mix")
    job.advance(16, "vocals")
    card = choose(page, server, job, song)
    until(page, lambda: hatched(page, "vocals", 0.9) and not hatched(page, "vocals", 0.5))
    job.advance(20, "vocals")
    job.final["mix"] = 0
    job.state = "completed"
    card.get_by_text("ready", exact=True).wait_for()
    until(page, lambda: not hatched(page, "vocals", 0.9))


def test_waveforms_are_fetched_from_where_they_end(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append("Canvas2D: Multiple readback")
    choose(page, server, job, song)

    def fetched_until(seconds: float, *tracks: str) -> set[int]:
        """From which frames on, when these tracks have come so far."""
        server.requests.clear()
        job.advance(seconds, *tracks)
        part = seconds / 20 - 0.05
        until(page, lambda: not any(hatched(page, track, part) for track in tracks))
        return {int(line.split("since=")[1]) for line in server.requests if "/peaks" in line}

    until(page, lambda: hatched(page, "vocals", 0.1))
    assert 0 in fetched_until(5, *STEMS)
    assert min(fetched_until(10, *STEMS)) > 4 * RATE, "tracks that have not begun are not missed"
    assert 0 in fetched_until(3, "harmonic")
    assert min(fetched_until(15, *STEMS)) > 2 * RATE
    assert min(fetched_until(6, "harmonic")) > 2 * RATE


def test_an_original_that_goes_while_its_song_is_folded(
    page: Any, server: FakeServer, song: Path
) -> None:
    job, card = separating(page, server, song, 60)
    original = card.locator('[data-action="original"]')
    original.click()
    hears(page, 8192)
    card.locator('[data-action="open"]').click()
    original.wait_for(state="detached")
    job.complete()
    job.final["mix"] = 0
    card.get_by_text("ready", exact=True).wait_for()
    card.locator('[data-action="open"]').click()
    assert original.get_attribute("aria-pressed") == "false"
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
