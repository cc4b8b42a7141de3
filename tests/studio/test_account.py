"""The account in a browser: its key, its jobs and its credits."""

from pathlib import Path
from typing import Any

import pytest

from tests.receiver import receiving
from tests.studio.hearing import until

from .accounts import REFUSED, AccountServer, part, rows, sign_in
from .accounts import box as box
from .accounts import url as url
from .axe import findings
from .fakes import FakeJob, music


def test_a_wrong_key_and_one_that_was_revoked(page: Any, box: AccountServer) -> None:
    page.expected += [f"{REFUSED}401", f"{REFUSED}403"]
    _, key = box.customer()
    sign_in(page, "sk_live_wrong")
    page.get_by_role("alert").get_by_text("Invalid API key.").wait_for()
    assert page.get_by_label("API key").evaluate("(input) => input === document.activeElement")
    assert page.evaluate("sessionStorage.length") == 0, "a wrong key is not kept"
    sign_in(page, f"  {key} ")
    part(page, "balance").get_by_text("60 min").wait_for()
    assert page.get_by_role("alert").count() == 0
    box.revoke(key)
    page.wait_for_timeout(600)  # the server looks a key up every half second
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("alert").get_by_text("This API key has been revoked.").wait_for()
    assert page.get_by_role("button", name="Sign out").count() == 0


@pytest.mark.parametrize("key", ["“sk_live_abc”", "ключ", "sk_live_\u200babc"])
def test_a_key_that_no_header_can_carry(page: Any, key: str) -> None:
    sign_in(page, key)
    page.get_by_role("alert").get_by_text("This is not a key").wait_for()
    assert page.get_by_label("API key").is_visible()
    assert page.evaluate("sessionStorage.length") == 0, "a wrong key is not kept"


def test_the_key_stays_in_its_tab(page: Any, box: AccountServer) -> None:
    _, key = box.customer()
    sign_in(page, key)
    part(page, "balance").get_by_text("60 min").wait_for()
    assert key not in page.evaluate("JSON.stringify({ ...localStorage }) + location.href")
    page.reload()
    part(page, "balance").get_by_text("60 min").wait_for()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_label("API key").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert key not in page.content() + page.evaluate("JSON.stringify({ ...sessionStorage })")
    page.reload()
    page.get_by_label("API key").wait_for()
    assert not any(key in request for request in box.requests)


def key_for_everything(page: Any, box: AccountServer) -> str:
    """A key without which the server makes no song either."""
    page.expected += [f"{REFUSED}401", f"{REFUSED}404"]  # of a job that only tries the key
    _, key = box.customer()
    box.songs.key = key
    box.songs.songs.append(FakeJob(music(2)))
    return key


def test_one_key_for_a_server_that_wants_one_for_everything(
    page: Any, box: AccountServer, song: Path
) -> None:
    key = key_for_everything(page, box)
    page.set_input_files("input[type=file]", song)
    page.get_by_label("This server wants a key.").wait_for()
    sign_in(page, key)
    part(page, "balance").get_by_text("60 min").wait_for()
    page.get_by_role("link", name="Songs").click()
    assert page.get_by_label("This server wants a key.").is_hidden()
    page.locator('[data-action="retry"]').click()
    page.locator("[data-job]").wait_for()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    assert page.evaluate("Object.values({ ...sessionStorage })") == []


def test_who_is_signed_in_is_not_asked_for_that_key(
    page: Any, box: AccountServer, song: Path
) -> None:
    key = key_for_everything(page, box)
    sign_in(page, key)
    part(page, "balance").get_by_text("60 min").wait_for()
    page.get_by_role("link", name="Songs").click()
    page.set_input_files("input[type=file]", song)
    page.locator('[data-action="retry"]').click()
    page.locator("[data-job]").wait_for()
    assert page.get_by_label("This server wants a key.").is_hidden()


def test_jobs_by_status_and_page_by_page(page: Any, box: AccountServer) -> None:
    account, key = box.customer()
    for number in range(12):
        box.job(account, f"song{number}.wav", "failed" if number == 3 else "completed")
    box.job(box.customer("bob")[0], "bobs.wav")
    sign_in(page, key)
    newest = [f"song{number}.wav" for number in range(11, 1, -1)]
    until(page, lambda: [row.split("\n")[0] for row in rows(page, "jobs")] == newest)
    jobs = part(page, "jobs")
    jobs.get_by_text("1–10 of 12").wait_for()
    assert jobs.get_by_role("button", name="Newer page of jobs").is_disabled()
    jobs.get_by_role("button", name="Older page of jobs").press("Enter")
    until(page, lambda: rows(page, "jobs") == ["song1.wav", "song0.wav"])
    jobs.get_by_text("11–12 of 12").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Newer", "the focus stays near"
    assert jobs.get_by_role("button", name="Older page of jobs").is_disabled()
    jobs.get_by_label("Status of the jobs").select_option("FAILED")
    jobs.get_by_text("The file is damaged").wait_for()
    row = jobs.locator("tbody tr")
    assert (row.count(), row.locator("a[href]").count()) == (1, 0), "there is nothing to open"
    cells = row.locator("td").all_inner_texts()
    assert cells[1:5] == ["failed", "Four stems · Fast · FLAC", "0:12", "0 s"]
    jobs.get_by_label("Status of the jobs").select_option("EXPIRED")
    jobs.get_by_text("No jobs.").wait_for()


def test_an_older_answer_does_not_replace_what_was_chosen_since(
    page: Any, box: AccountServer
) -> None:
    account, key = box.customer()
    for number in range(3):
        box.job(account, f"song{number}.wav", "failed" if number == 1 else "completed")
    region = sign_in(page, key)
    until(page, lambda: len(rows(page, "jobs")) == 3)
    held: list[Any] = []
    page.route("**/api/v1/jobs?*", lambda route: route.fallback()
               if "status=" in route.request.url else held.append(route))  # fmt: skip
    region.get_by_role("button", name="Refresh").click()
    until(page, lambda: held)
    part(page, "jobs").get_by_label("Status of the jobs").select_option("FAILED")
    until(page, lambda: len(rows(page, "jobs")) == 1)
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/jobs?*")
    page.wait_for_timeout(500)
    assert len(rows(page, "jobs")) == 1


def test_the_balance_and_how_it_came_about(page: Any, box: AccountServer) -> None:
    account, key = box.customer(minutes=2)
    box.job(account, "a.wav")
    box.job(account, "b.wav", "failed")
    sign_in(page, key)
    part(page, "balance").get_by_text("1 min 48 s").wait_for()
    until(page, lambda: len(rows(page, "ledger")) == 5)
    booked = [row.locator("td").all_inner_texts()[1:]
              for row in part(page, "ledger").locator("tbody tr").all()]  # fmt: skip
    assert booked == [
        ["given back", "+12 s", "1 min 48 s", "job-b"],
        ["held", "−12 s", "1 min 36 s", "job-b"],
        ["spent, of what was held", "12 s", "1 min 48 s", "job-a"],
        ["held", "−12 s", "1 min 48 s", "job-a"],
        ["granted", "+2 min", "2 min", ""],
    ]


def test_too_many_requests_and_a_server_that_is_away(page: Any, box: AccountServer) -> None:
    page.expected += [f"{REFUSED}500", "Failed to load resource: net::"]
    account, key = box.customer()
    sign_in(page, key)
    part(page, "balance").get_by_text("60 min").wait_for()
    box.away = True
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("alert").get_by_text("The page tries again in 5 s.").wait_for()
    assert part(page, "balance").get_by_text("60 min").is_visible(), "what was known is kept"
    box.away = False
    box.job(account, "meanwhile.wav")
    part(page, "jobs").get_by_text("meanwhile.wav").wait_for()
    until(page, lambda: page.get_by_role("alert").count() == 0)


class TestLimits:
    @pytest.fixture
    def box(self, tmp_path: Path) -> AccountServer:
        box = AccountServer(tmp_path)
        box.limit = 7
        return box

    def test_a_key_that_has_asked_too_often(self, page: Any, box: AccountServer) -> None:
        page.expected.append(f"{REFUSED}429")
        _, key = box.customer()
        sign_in(page, key)
        part(page, "balance").get_by_text("60 min").wait_for()
        page.get_by_role("button", name="Refresh").click()
        said = page.get_by_role("alert").get_by_text("This key has made too many requests.")
        said.wait_for()
        asked = len(box.requests)
        page.wait_for_timeout(6000)
        assert len(box.requests) == asked, "it waits as long as it was told"
        assert part(page, "balance").get_by_text("60 min").is_visible()


def test_by_keyboard_alone(page: Any, box: AccountServer) -> None:
    _, key = box.customer()
    page.goto(f"{page.url}#/account")
    page.get_by_label("API key").wait_for()
    assert page.evaluate("document.activeElement.id") == "account-key"
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    part(page, "balance").get_by_text("60 min").wait_for()
    assert page.evaluate("document.activeElement.dataset.action") == "refresh"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_label("API key").wait_for()
    assert page.evaluate("document.activeElement.id") == "account-key"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_hangs_over_the_edge(page: Any, box: AccountServer, width: int) -> None:
    account, key = box.customer()
    with receiving(lambda number: 500) as receiver:
        box.hook(account, f"{receiver.url}/{'a-long-address/' * 12}")
        box.job(account, f"{'A very long name of a song ' * 8}.wav")
        box.job(account, "b.wav", "failed")
        page.set_viewport_size({"width": width, "height": 844})
        sign_in(page, key)
        until(page, lambda: len(rows(page, "deliveries")) == 2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        low = page.evaluate("""() => [...document.querySelectorAll(".account :is(button, select)")]
            .filter((one) => one.offsetParent && one.offsetHeight < 44)
            .map((one) => one.textContent)""")
        assert width > 720 or low == []


@pytest.mark.usefixtures("axe")
def test_axe_finds_nothing(page: Any, box: AccountServer) -> None:
    page.expected.append(f"{REFUSED}401")
    account, key = box.customer()
    with receiving(lambda number: 500 if number else 200) as receiver:
        box.hook(account, receiver.url)
        for number in range(12):
            box.job(account, f"song{number}.wav", "failed" if number == 11 else "completed")
        sign_in(page, "sk_live_wrong")
        page.get_by_role("alert").wait_for()
        assert findings(page) == []
        sign_in(page, key)
        page.get_by_role("button", name="Send a test event").click()
        until(page, lambda: len(receiver.got) >= 13)
        until(page, lambda: len(rows(page, "deliveries")) == 10)
        part(page, "deliveries").locator("summary").first.click()
        assert findings(page) == []
        page.get_by_role("link", name="Songs").click()
        page.get_by_label("Make of it").select_option("split")
        assert findings(page) == []
