"""What goes wrong around the page: proxies, lost answers, odd names and keys."""

from pathlib import Path
from typing import Any

import pytest

from .fakes import FakeJob, FakeServer
from .test_page import choose, clock, until

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


def test_a_song_that_could_not_be_removed_stays(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    card = choose(page, server, job, song)
    page.route(
        f"**/job/{job.id}",
        lambda route: route.abort() if route.request.method == "DELETE" else route.fallback(),
    )
    card.locator('[data-action="remove"]').click()
    page.get_by_text(f"“{song.name}” could not be removed.").wait_for()
    assert not job.gone
    card.wait_for()
    page.reload()
    card.wait_for()
    page.unroute(f"**/job/{job.id}")
    card.locator('[data-action="remove"]').click()
    until(page, lambda: job.gone)
    until(page, lambda: card.count() == 0)


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
    page.locator('[data-action="retry"]').click()
    page.locator(".advice").get_by_text("This is not a key").wait_for()
    key.fill("sk_live_good")
    page.get_by_text("Use it").click()
    server.songs.append(job)
    page.locator('[data-action="retry"]').click()
    page.locator(f'[data-job="{job.id}"]').wait_for()


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
