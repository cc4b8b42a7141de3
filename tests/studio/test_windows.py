"""Which samples the player fetches: what is heard first, the rest in its time, nothing twice."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.studio.hearing import ALL_STEMS, TAP, choose, clock, constant, hears, until

from .fakes import RATE, STEMS, FakeJob, FakeServer

BLOCK = 0.5  # seconds
AHEAD = 16  # blocks
WINDOWS = re.compile("/window")


class Window:
    """What one request asked for."""

    def __init__(self, line: str) -> None:
        query = parse_qs(urlsplit(line).query)
        self.tracks = query["tracks"][0].split(",")
        first = round(float(query["start"][0]) / BLOCK)
        self.blocks = range(first, first + round(float(query["seconds"][0]) / BLOCK))
        self.pieces = [(track, block) for block in self.blocks for track in self.tracks]


def windows(server: FakeServer) -> list[Window]:
    return [Window(line) for line in list(server.requests) if "/window" in line]


def pieces(server: FakeServer) -> list[tuple[str, int]]:
    return [piece for window in windows(server) for piece in window.pieces]


def filled(page: Any, server: FakeServer, *tracks: str) -> None:
    """Waits until all of these tracks were asked for, as far as they are held ahead."""
    wanted = {(track, block) for track in tracks for block in range(AHEAD)}
    until(page, lambda: wanted <= set(pieces(server)))


@pytest.fixture
def done(page: Any) -> FakeJob:
    page.add_init_script(TAP)
    page.reload()
    job = constant(120)
    job.complete()
    return job


def test_what_is_heard_comes_first_and_nothing_twice(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    choose(page, server, done, song)
    filled(page, server, *done.tracks)
    asked = windows(server)
    heard = [block for one in asked[:3] for block in one.blocks]
    assert heard == list(range(AHEAD))
    assert all(set(one.tracks) == set(STEMS) for one in asked[:3])
    assert all(set(one.tracks) == set(done.tracks) - set(STEMS) for one in asked[3:])
    assert len(asked) <= 7
    found = pieces(server)
    assert len(found) == len(set(found)) == AHEAD * len(done.tracks)


def test_on_its_way_one_request_brings_all_tracks(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    choose(page, server, done, song)
    filled(page, server, *done.tracks)
    before = len(windows(server))
    for second in range(2, 18, 2):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        until(page, lambda second=second: ("mix", 2 * second + AHEAD - 1) in pieces(server))
    later = windows(server)[before:]
    assert [len(one.blocks) for one in later] == [4] * 8, "two seconds each"
    assert all(set(one.tracks) == set(done.tracks) for one in later)


def test_what_is_unmuted_is_fetched_at_once(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    """Even while a window of later blocks is on its way, which takes long."""
    page.expected.append("Failed to load resource")
    held: list[Any] = []
    page.route(WINDOWS, lambda route: held.append(route)
               if "start=1&" in route.request.url and not held else route.fallback())  # fmt: skip
    card = choose(page, server, done, song)
    until(page, lambda: held)
    card.locator('[data-track="harmonic"] [data-action="mute"]').click()
    until(page, lambda: ("harmonic", 0) in pieces(server))
    assert windows(server)[1].tracks == ["harmonic"]
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS + 32)


def test_what_is_not_heard_holds_nothing_up(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    """On a line on which it never comes; and it is not asked for again at every block."""
    page.expected.append("Failed to load resource")
    held: list[Any] = []
    page.route(WINDOWS, lambda route: held.append(route)
               if "harmonic" in route.request.url else route.fallback())  # fmt: skip
    choose(page, server, done, song)
    until(page, lambda: held)
    for second in range(1, 21):
        page.keyboard.press("Shift+ArrowRight")
        soon = {("vocals", 2 * second + place) for place in range(4)}
        until(page, lambda soon=soon: soon <= set(pieces(server)))
    assert len(held) <= 20 / 2 + 1
    found = pieces(server)
    assert len(found) == len(set(found))


def test_a_loop_that_is_shorter_than_what_is_held(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    card = choose(page, server, done, song)
    filled(page, server, *done.tracks)
    for key in ("l", "ArrowRight", "Shift+ArrowLeft", "Shift+ArrowLeft", "l", "Home"):
        page.keyboard.press(key)
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
    until(page, lambda: clock(page) > 2.5 * RATE)
    until(page, lambda: clock(page) < RATE)
    before = len(windows(server))
    until(page, lambda: clock(page) > 2.5 * RATE)
    until(page, lambda: clock(page) < RATE)
    assert len(windows(server)) == before, "all of it is here"


def test_with_every_track_muted_the_tracks_are_fetched_all_the_same(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    done.advance(0)
    done.state = "processing"
    card = choose(page, server, done, song)
    for track in range(1, 5):
        page.keyboard.press(f"Shift+Digit{track}")
    done.complete()
    filled(page, server, *done.tracks)
    found = pieces(server)
    assert len(found) == len(set(found))
    card.locator('[data-action="play"]').click()
    until(page, lambda: clock(page) > RATE)


def test_tracks_that_are_final_to_different_places(
    page: Any, server: FakeServer, done: FakeJob, song: Path
) -> None:
    done.advance(0)
    done.state = "processing"
    card = choose(page, server, done, song)
    done.advance(30, "harmonic", "mix")
    done.advance(6, "vocals", "drums")
    done.advance(3, "bass", "other")
    until(page, lambda: ("mix", AHEAD - 1) in pieces(server))
    until(page, lambda: {("vocals", 11), ("other", 5)} <= set(pieces(server)))
    assert not {("vocals", 12), ("other", 6), ("percussive", 0)} & set(pieces(server))
    done.advance(30)
    filled(page, server, *done.tracks)
    found = pieces(server)
    assert len(found) == len(set(found))
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
    until(page, lambda: clock(page) > 8 * RATE)
