"""What goes wrong around the page: proxies, lost answers, odd names and keys."""

from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import TAP, choose, clock, constant, heard, until

from .fakes import FakeJob, FakeServer, music

FAILED = "Failed to load resource"
STRANGERS_PAGE = {"status": 200, "content_type": "text/html", "body": "<html>Sign in</html>"}
HANGING = """() => [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest(".hidden"))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map((one) => one.outerHTML.slice(0, 80))"""


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


def test_an_upload_answered_by_a_stranger_holds_up_no_other(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    answer_once(page, "**/process", STRANGERS_PAGE)
    server.songs.append(job)
    page.set_input_files("input[type=file]", [song, song])
    page.locator(".advice").get_by_text("The answer is not the server's").wait_for()
    page.locator(f'[data-job="{job.id}"]').wait_for()


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
    said = page.get_by_text("This key is not let in. Missing API key")
    said.wait_for()
    assert key.is_visible()
    assert page.evaluate(kept) is None
    key.fill("sk_live_good")
    page.get_by_text("Use it").click()
    key.wait_for(state="hidden")
    said.wait_for(state="hidden")
    until(page, lambda: page.evaluate(kept) == "sk_live_good")


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


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_nothing_hangs_over_the_edge(
    page: Any, server: FakeServer, job: FakeJob, tmp_path: Path, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    song = tmp_path / f"{'n' * 250}.wav"
    song.write_bytes(bytes(1000))
    card = choose(page, server, job, song)
    job.advance(2)
    card.get_by_text("listen to 0:02").wait_for()
    status = card.locator(".status").bounding_box()
    assert width < 720 or status["height"] <= 20, "a long name leaves the status its line"
    assert page.evaluate(HANGING) == []
    job.complete()
    card.get_by_text("ready", exact=True).wait_for()
    card.locator('[data-action="remove"]').click()
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    dialog.get_by_text("Keep").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_label("API key").wait_for()
    assert page.evaluate(HANGING) == []


def test_a_name_in_another_direction(page: Any, server: FakeServer, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    name = "שיר ארוך מאוד עם מספר 12 (רמיקס) של הלהקה.mp3"
    song = tmp_path / name
    song.write_bytes(bytes(1000))
    job = FakeJob(music(2))
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("ready", exact=True).wait_for()
    title = card.locator(".title")
    assert title.evaluate("(title) => getComputedStyle(title).direction") == "rtl"
    card.locator('[data-action="remove"]').click()
    page.get_by_role("dialog").get_by_text(f"Remove “\u2068{name}\u2069” and its files").wait_for()


def test_the_time_is_read_whole_on_the_narrowest_page(
    page: Any, server: FakeServer, song: Path
) -> None:
    page.set_viewport_size({"width": 320, "height": 256})
    job = constant(3700)
    job.complete()
    card = choose(page, server, job, song)
    card.get_by_text("1:01:40").first.wait_for()
    time = card.locator(".time")
    assert time.evaluate("(time) => time.scrollWidth <= time.clientWidth")
    page.keyboard.press("?")
    heading = page.get_by_role("heading", name="Keyboard")
    box = heading.bounding_box()
    assert 0 <= box["y"] < 256, "a list that is longer than the page begins at its beginning"


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
