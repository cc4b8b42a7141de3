"""What goes wrong around the page: proxies, lost answers, a server that is away, full or new."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import TAP, choose, clock, constant, heard, until

from .conftest import FAILED
from .fakes import RATE, FakeJob, FakeServer, music

STRANGERS_PAGE = {"status": 200, "content_type": "text/html", "body": "<html>Sign in</html>"}


def answer_once(page: Any, pattern: str, answer: dict[str, Any]) -> None:
    """Answers the first request of this address in the server's place."""
    page.route(pattern, lambda route: route.fulfill(**answer), times=1)


def test_an_answer_that_is_not_the_servers_does_not_end_the_watch(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    page.route("**/job/*/events", lambda route: route.fulfill(status=404))
    answer_once(page, f"**/job/{job.id}", STRANGERS_PAGE)
    card = choose(page, server, job, song)
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()


def test_errors_that_are_cut_off_end_nothing_that_tries_again(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """A proxy that goes down sends half of its error page."""
    page.expected.append(FAILED)
    job.advance(5)
    page.route("**/job/*/events", lambda route: route.fulfill(status=404))
    card = choose(page, server, job, song)
    server.torn = "/"
    before = len(server.requests)
    page.get_by_text("The server has not answered since").wait_for()
    until(page, lambda: any("/config" in line for line in server.requests[before:]))
    server.torn = "-"
    job.complete()
    page.get_by_text("The server has not answered since").wait_for(state="hidden")
    card.get_by_text("ready", exact=True).wait_for()
    server.songs.append(FakeJob(music(2)))
    server.torn = "/process"
    page.set_input_files("input[type=file]", song)
    page.locator('[data-phase="refused"]').wait_for()
    server.torn = "-"
    page.locator('[data-action="retry"]:visible').click()
    until(page, lambda: page.locator("[data-job]").count() == 2)


def test_an_upload_answered_by_a_stranger_holds_up_no_other(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    answer_once(page, "**/process", STRANGERS_PAGE)
    server.songs.append(job)
    page.set_input_files("input[type=file]", [song, song])
    page.locator(".advice").get_by_text("The answer is not the server's").wait_for()
    page.locator(f'[data-job="{job.id}"]').wait_for()


def test_an_answer_to_a_song_that_is_lost_is_not_called_a_lost_song(
    server: FakeServer, page: Any, song: Path
) -> None:
    """To try again makes a second job of it: whoever does should know."""
    page.expected.append("Failed to load resource")
    server.songs, server.unheard = [FakeJob(music(5))], True
    page.set_input_files("input[type=file]", song)
    advice = page.locator(".advice").get_by_text("the server may be at work on it. Sent again")
    advice.wait_for()
    page.locator("[data-action=retry]").wait_for()
    assert len(server.jobs) == 1


def test_a_file_that_is_not_there_any_more(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.expected.append(FAILED)
    server.refusal = (503, "The queue is full")
    page.set_input_files("input[type=file]", song)
    page.get_by_text("The queue is full. Try again in a moment.").first.wait_for()
    song.unlink()
    page.locator('[data-action="retry"]').click()
    page.locator(".advice").get_by_text("This file cannot be read").wait_for()


def test_a_song_waits_while_the_server_is_full(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    answer_once(page, "**/process", {"status": 503, "headers": {"Retry-After": "2"},
                                     "json": {"detail": "Too many jobs"}})  # fmt: skip
    server.songs.append(job)
    page.set_input_files("input[type=file]", song)
    page.get_by_text("too many at once, goes on in").wait_for()
    page.locator(f'[data-job="{job.id}"]').wait_for()


def test_a_full_disk_is_told_at_once(page: Any, song: Path) -> None:
    page.expected.append(FAILED)
    answer_once(page, "**/process", {"status": 503, "headers": {"Retry-After": "300"},
                                     "json": {"detail": "The disk is full"}})  # fmt: skip
    page.set_input_files("input[type=file]", song)
    page.locator(".card").get_by_text("The disk is full. Try again in a moment.").wait_for()


@pytest.mark.parametrize("status", [401, 429, 500])
def test_waveforms_that_are_refused_at_first(
    page: Any, server: FakeServer, job: FakeJob, song: Path, status: int
) -> None:
    page.expected.append(FAILED)
    job.complete()
    answer_once(page, "**/peaks?*", {"status": status, "body": "{}"})
    card = choose(page, server, job, song)
    lane = card.locator('[data-track="vocals"] canvas')
    until(page, lambda: lane.evaluate("""(canvas) => canvas.getContext("2d").getImageData(
        canvas.width / 2, 0, 1, canvas.height).data.some((value) => value > 0)"""))


def test_a_stream_that_has_died_without_a_word(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """As after a night in which the machine slept: nobody tells of such a connection."""
    page.clock.install()
    page.reload()
    server.silent = True
    card = choose(page, server, job, song)
    until(page, lambda: any("/events" in line for line in server.requests))
    job.complete()
    page.wait_for_timeout(1000)
    assert card.get_by_text("ready", exact=True).count() == 0
    page.clock.fast_forward(60_000)
    card.get_by_text("ready", exact=True).wait_for()


@pytest.mark.parametrize(("script", "host"), [
    ("mixer", "127.0.0.1"), ("stretch", "127.0.0.1"), ("stretch", "stembox.test"),
])  # fmt: skip
def test_a_page_that_is_older_than_the_server(
    page: Any, server: FakeServer, job: FakeJob, song: Path, url: str, script: str, host: str
) -> None:
    """Left open over an upgrade; the second host's page has no worklet."""
    page.expected.append(FAILED)
    page.goto(url.replace("127.0.0.1", host))
    server.dropped = f"/studio/{script}-"
    job.complete()
    card = choose(page, server, job, song)
    page.keyboard.press(".")
    card.locator('[data-action="play"]:enabled').click()
    page.get_by_text("The server was updated: reload this page.").wait_for()
    assert page.get_by_text("The server has not answered").count() == 0


def test_a_script_that_was_lost_on_its_way(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    server.lost = "/studio/mixer-"
    job.complete()
    card = choose(page, server, job, song)
    play = card.locator('[data-action="play"]:enabled')
    play.click()
    page.get_by_text("The server has not answered since").wait_for()
    server.lost = "-"
    play.click()
    until(page, lambda: clock(page) > 0)


def test_songs_that_wait_hold_one_connection_together(
    page: Any, server: FakeServer, song: Path
) -> None:
    """A browser has six for a server that speaks HTTP/1.1."""
    jobs = [FakeJob(music(2, seed)) for seed in range(7)]
    for job in jobs:
        card = choose(page, server, job, song)
        until(page, lambda job=job: server.streams == [job.id])
    jobs[0].complete()
    page.locator(f'[data-job="{jobs[0].id}"]').get_by_text("ready", exact=True).wait_for()
    jobs[6].complete()
    card.get_by_text("ready", exact=True).wait_for()


def test_a_server_that_restarts_behind_a_proxy_is_found_again(page: Any) -> None:
    """The proxy answers meanwhile; no job runs whose answers would tell."""
    page.expected.append(FAILED)
    page.route("**/config", lambda route: route.fulfill(status=502))
    page.reload()
    away = page.get_by_text("The server has not answered since")
    away.wait_for()
    with page.expect_response("**/config"):  # asked again, and away as before
        pass
    page.unroute("**/config")
    away.wait_for(state="hidden")


def test_a_server_that_takes_no_more_requests_for_now(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.expected.append(FAILED)
    page.add_init_script(TAP)
    page.reload()
    job = constant(60)
    job.complete()
    server.full = 4
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').click()
    page.keyboard.press("g")
    note = card.get_by_text("too many requests, goes on in")
    note.wait_for()
    first = until(page, lambda: server.waits)[0]
    page.wait_for_timeout(4000)
    early = [when for when in server.waits if when < first + server.full]
    assert len(early) <= 4, "sound, waveforms, and twice the spectrogram, which did not know"
    server.full = 0
    until(page, lambda: heard(page) != 0)
    note.wait_for(state="hidden")
    card.get_by_label("Pause", exact=True).click()
    card.locator('.spectrum[data-state="whole"]').wait_for()


def test_sound_goes_first_where_requests_are_few(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.expected.append(FAILED)
    job = constant(3600)
    job.complete()
    server.full = 1
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]:enabled').click()
    until(page, lambda: server.waits)
    server.full = 0
    until(page, lambda: clock(page) > 44_100)
    server.requests.clear()
    page.keyboard.press("g")

    def asked(tracks: str) -> int:
        return sum(f"/window?tracks={tracks}" in line for line in server.requests)

    until(page, lambda: asked("mix&") and asked("vocals%2C") >= 2)
    assert asked("mix&") < 20, "one in three seconds"
    card.get_by_label("Pause", exact=True).click()
    until(page, lambda: asked("mix&") > 40)


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
