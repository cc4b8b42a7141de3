"""Of one file one StemSplit job, whatever becomes of the answers: jobs cost credits."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.fakes import serving
from tests.studio.hearing import until

from .accounts import AccountServer, part, sign_in

BUSY = {"error": {"code": "SERVER_BUSY", "message": "The queue is full"}}
GONE = {"error": {"code": "UPLOAD_NOT_FOUND", "message": "This upload has expired"}}
LIMIT = {"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "Rate limit exceeded."}}
DETAIL: dict[str, Any] = {
    "id": "job-1", "status": "PROCESSING", "progress": 40, "createdAt": "2026-01-01T00:00:00Z",
    "input": {"fileName": "song.wav", "durationSeconds": 12}, "creditsCharged": 12,
    "options": {"outputType": "VOCALS", "quality": "FAST", "outputFormat": "MP3"},
    "outputs": None, "studio": None, "errorMessage": None,
}  # fmt: skip


class Desk:
    """Takes uploads and orders in the server's place. What is in `answers` is answered to the next
    orders and goes on to make the job, or not: a status, a body and headers; None: no answer."""

    def __init__(self, page: Any) -> None:
        self.uploads = 0
        self.orders: list[tuple[str, str]] = []  # Idempotency-Key, upload key
        self.answers: list[dict[str, Any] | None] = []
        self.job: dict[str, Any] = {"json": DETAIL}  # the answer to whoever looks at it
        page.route("**/api/v1/upload", self.upload)
        page.route("**/put", lambda route: route.fulfill(status=200, body="{}"))
        page.route("**/api/v1/jobs", self.order)
        self.removed = 0
        page.route("**/api/v1/jobs/job-1", self.look)

    def upload(self, route: Any) -> None:
        self.uploads += 1
        route.fulfill(json={"uploadUrl": "http://x.test/api/v1/put",
                            "uploadKey": f"upload-{self.uploads}",
                            "maxFileSizeBytes": 1 << 20})  # fmt: skip

    def order(self, route: Any) -> None:
        request = route.request
        self.orders.append(
            (request.headers["idempotency-key"], request.post_data_json["uploadKey"])
        )
        answer = self.answers.pop(0) if self.answers else {"status": 201, "json": {"id": "job-1"}}
        if answer is None:
            route.abort()
        else:
            route.fulfill(**answer)

    def look(self, route: Any) -> None:
        self.removed += route.request.method == "DELETE"
        route.fulfill(**self.job)


@pytest.fixture
def box(tmp_path: Path) -> AccountServer:
    return AccountServer(tmp_path)


@pytest.fixture
def url(box: AccountServer) -> Iterator[str]:
    with serving(box) as port:
        yield f"http://127.0.0.1:{port}/"
        box.close()


@pytest.fixture
def desk(page: Any, box: AccountServer) -> Desk:
    """Signed in, with the page's clock in the test's hand."""
    page.expected.append("Failed to load resource")
    page.clock.install()
    page.reload()
    sign_in(page, box.customer()[1])
    part(page, "balance").get_by_text("60 min").wait_for()
    page.get_by_role("link", name="Songs").click()
    page.get_by_label("Make of it").select_option("split")
    page.locator('[data-choice="outputType"]').select_option("VOCALS")
    return Desk(page)


@pytest.mark.parametrize("answer", [{"status": 503, "json": BUSY}, {"status": 429, "json": LIMIT}])
def test_a_job_that_was_made_is_shown_whatever_is_said_of_it(
    page: Any, desk: Desk, song: Path, answer: dict[str, Any]
) -> None:
    desk.job = answer
    page.set_input_files("input[type=file]", song)
    card = page.locator('[data-job="job-1"]')
    card.wait_for()
    assert card.locator('[data-action="retry"]').is_hidden()
    card.get_by_text("Vocals · Best · MP3").wait_for()
    desk.job = {"json": DETAIL}
    page.clock.run_for(20_000)
    card.get_by_text("Vocals · Fast · MP3").wait_for()
    card.get_by_text("separating 40 %").wait_for()
    assert len(desk.orders) == 1


@pytest.mark.parametrize(("more", "made"), [
    ({}, "Vocals and instrumental · Fast · MP3"),
    ({"model": "starter"}, "Vocals and instrumental · Fast · MP3"),
    ({"model": "starter", "stems": ["drums"]}, "starter · Drums · Fast · MP3"),
    ({"model": "karaoke", "stems": ["vocals", "lead"]}, "karaoke · Vocals, lead · Fast · MP3"),
])  # fmt: skip
def test_what_a_job_was_ordered_with_is_said(
    page: Any, desk: Desk, song: Path, more: dict[str, Any], made: str
) -> None:
    """An order by stems, or by a model, has an output type as well, which says nothing of it."""
    desk.job = {"json": DETAIL | {"options": DETAIL["options"] | {"outputType": "BOTH"} | more}}
    page.set_input_files("input[type=file]", song)
    page.locator('[data-job="job-1"]').get_by_text(made, exact=True).wait_for()


@pytest.mark.parametrize("first", [
    None, {"status": 502, "body": "a proxy's page"}, {"status": 504, "body": "a proxy's page"},
    {"status": 503, "json": BUSY, "headers": {"Retry-After": "5"}},
])  # fmt: skip
def test_an_order_whose_answer_was_lost_is_sent_again(
    page: Any, desk: Desk, song: Path, first: dict[str, Any] | None
) -> None:
    desk.answers.append(first)
    page.set_input_files("input[type=file]", song)
    until(page, lambda: len(desk.orders) == 1)
    while len(desk.orders) == 1:
        page.clock.run_for(500)
    page.locator('[data-job="job-1"]').wait_for()
    assert len(set(desk.orders)) == 1, "the same order"


def test_trying_again_is_the_same_order(page: Any, desk: Desk, song: Path) -> None:
    desk.answers += [None] * 4
    page.set_input_files("input[type=file]", song)
    retry = page.locator('[data-action="retry"]')
    while not retry.is_visible():
        page.clock.run_for(500)
    assert len(desk.orders) == 4
    retry.click()
    page.locator('[data-job="job-1"]').wait_for()
    assert (len(desk.orders), len(set(desk.orders)), desk.uploads) == (5, 1, 1)


def test_a_song_that_is_cancelled_costs_nothing_and_holds_up_nobody(
    page: Any, desk: Desk, song: Path
) -> None:
    """Its order's answer was lost: what became of it is asked once more, and undone."""
    desk.answers.append(None)
    page.set_input_files("input[type=file]", [song, song])
    until(page, lambda: len(desk.orders) == 1)
    page.wait_for_timeout(200)  # until the page has heard of it
    sent = page.locator(".card").filter(has_text="sent, the server reads it")
    sent.locator('[data-action="remove"]').click()
    page.locator('[data-job="job-1"]').wait_for()  # the one behind it does not wait
    page.clock.run_for(30_000)
    assert [upload for _, upload in desk.orders] == ["upload-1", "upload-1", "upload-2"]
    assert desk.orders[0] == desk.orders[1] and desk.removed == 1


def test_an_upload_that_was_not_kept_is_sent_anew(page: Any, desk: Desk, song: Path) -> None:
    desk.answers += [{"status": 500, "json": BUSY}, {"status": 400, "json": GONE}]
    page.set_input_files("input[type=file]", song)
    page.locator('[data-action="retry"]').click()
    page.locator('[data-job="job-1"]').wait_for()
    assert [upload for _, upload in desk.orders] == ["upload-1", "upload-1", "upload-2"]
    assert desk.orders[2][0] != desk.orders[0][0], "another order"


@pytest.mark.parametrize(("status", "body"), [(429, LIMIT), (503, BUSY)])
def test_songs_wait_where_the_server_takes_no_more_for_now(
    page: Any, desk: Desk, song: Path, status: int, body: dict[str, Any]
) -> None:
    desk.answers.append({"status": status, "json": body, "headers": {"Retry-After": "40"}})
    page.set_input_files("input[type=file]", [song, song])
    page.get_by_text(re.compile(r"too many at once, goes on in [34]\d s")).wait_for()
    page.get_by_text("waiting to be sent").wait_for()
    page.clock.run_for(20_000)
    page.get_by_text(re.compile(r"goes on in (1\d|20) s")).wait_for()
    assert len(desk.orders) == 1
    page.clock.run_for(21_000)
    until(page, lambda: len(desk.orders) == 3)
    assert len(set(desk.orders)) == 2, "one each"
    assert page.locator('[data-phase="refused"]').count() == 0
