"""Removing a song: it leaves the list, in every tab, once the server has removed it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.studio.hearing import choose, clock, until
from tests.studio.hearing import playing as playing

from .fakes import RATE, FakeJob, FakeServer

FAILED = "Failed to load resource"
BUSY = {"status": 503, "json": {"detail": "The disk does not answer"}}
REMOVED = {"status": 200, "json": {"status": "deleted"}}


@contextmanager
def asked_to_remove(page: Any, card: Any, answer: dict[str, Any] | None) -> Iterator[None]:
    """Removes a song; what is done within is done before the server's answer, None for its own."""
    held: list[Any] = []
    page.route("**/job/*", lambda route: held.append(route)
               if route.request.method == "DELETE" else route.fallback())  # fmt: skip
    card.locator('[data-action="remove"]').click()
    if card.get_attribute("data-phase") == "done":
        page.get_by_role("dialog").get_by_text("Remove", exact=True).click()
    until(page, lambda: held)
    yield
    if answer is None:
        held[0].continue_()
    else:
        held[0].fulfill(**answer)
    page.unroute("**/job/*")


def plays_on(page: Any) -> None:
    before = clock(page)
    until(page, lambda: clock(page) > before + RATE)


def test_a_song_that_plays_goes_once_the_server_has_agreed(
    page: Any, server: FakeServer, playing: Any, url: str
) -> None:
    """Another tab, which only lists it, keeps it as long."""
    page.expected.append(FAILED)
    other = page.context.new_page()
    other.goto(url)
    listed = other.locator(".card")
    listed.get_by_text("ready", exact=True).wait_for()
    remove = playing.locator('[data-action="remove"]')
    for answer in (BUSY, None):
        with asked_to_remove(page, playing, answer):
            playing.get_by_text("being removed", exact=True).wait_for()
            assert remove.is_disabled()
            remove.click(force=True)  # asks nothing, and nobody
            assert page.get_by_role("dialog").count() == 0
            plays_on(page)
            assert listed.count() == 1
        if answer is None:
            break
        page.get_by_text("could not be removed. The disk does not answer").wait_for()
        playing.get_by_text("ready", exact=True).wait_for()
        assert remove.is_enabled()
        plays_on(page)
        assert listed.count() == 1
    until(page, lambda: playing.count() == listed.count() == 0)
    assert clock(page) == 0
    deleted = [line for line in server.requests if line.startswith("DELETE")]
    assert len(deleted) == 1


def test_a_removal_elsewhere_that_fails_does_not_stop_the_song(
    page: Any, playing: Any, url: str
) -> None:
    other = page.context.new_page()
    other.goto(url)
    card = other.locator(".card")
    card.get_by_text("ready", exact=True).wait_for()
    with asked_to_remove(other, card, BUSY):
        plays_on(page)
    other.get_by_text("could not be removed. The disk does not answer").wait_for()
    plays_on(page)
    assert playing.get_by_label("Pause", exact=True).is_visible()


def test_a_song_that_was_removed_though_the_answer_was_lost(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    page.expected.append(FAILED)
    job.complete()
    card = choose(page, server, job, song)
    with asked_to_remove(page, card, BUSY):
        job.gone = True
    page.locator('[data-phase="expired"]').wait_for()


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
    page.get_by_text(f"“\u2068{song.name}\u2069” could not be removed.").wait_for()
    assert not job.gone
    card.wait_for()
    page.reload()
    card.wait_for()
    page.unroute(f"**/job/{job.id}")
    card.locator('[data-action="remove"]').click()
    until(page, lambda: job.gone)
    until(page, lambda: card.count() == 0)


def test_what_may_be_ready_is_not_removed_without_a_question(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    job.complete()
    choose(page, server, job, song).get_by_text("ready", exact=True).wait_for()
    held: list[Any] = []
    page.route(f"**/job/{job.id}*", lambda route: held.append(route))
    page.route(f"**/job/{job.id}/**", lambda route: held.append(route))
    page.reload()
    page.locator('[data-phase="loading"] [data-action="remove"]').click()
    page.get_by_role("dialog").get_by_text("Keep", exact=True).click()
    assert not [line for line in server.requests if line.startswith("DELETE")]
    assert [route for route in held if route.request.method == "DELETE"] == []


def test_a_song_that_is_cancelled_when_all_of_it_is_sent_leaves_no_job(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """The server is reading it: only its answer tells of the job that it makes."""
    server.reads.clear()
    server.songs.append(job)
    page.set_input_files("input[type=file]", song)
    page.get_by_text("sent, the server reads it", exact=True).wait_for()
    page.locator('[data-action="remove"]').click()
    until(page, lambda: page.locator(".card").count() == 0)
    assert job.id not in server.jobs
    server.reads.set()
    until(page, lambda: job.gone)


def test_what_is_being_removed_is_asked_for_no_more(
    page: Any, server: FakeServer, job: FakeJob, song: Path
) -> None:
    """The server has removed it before it says so: who asked meanwhile would hear of no such job.
    Where it could not be removed, all goes on as before."""
    page.expected.append(f"{FAILED}: the server responded with a status of 503")
    job.advance(5)
    card = choose(page, server, job, song)
    until(page, lambda: asked(server, "peaks"))
    for answer in (BUSY, REMOVED):
        with asked_to_remove(page, card, answer):
            until(page, lambda: server.streams == [])
            before = len(server.requests)
            job.advance(10)
            job.gone = answer is REMOVED
            page.wait_for_timeout(2500)  # longer than what is asked again and again lets pass
            assert server.requests[before:] == []
        if answer is REMOVED:
            break
        until(page, lambda before=before: asked(server, "peaks", before))
        until(page, lambda: server.streams == [job.id])
        card.get_by_text("separating").wait_for()
    until(page, lambda: card.count() == 0)


def asked(server: FakeServer, what: str, since: int = 0) -> list[str]:
    return [line for line in server.requests[since:] if f"/{what}?" in line]
