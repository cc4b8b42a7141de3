"""The account in a browser: its key, its jobs and credits, its webhooks and what became of them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.fakes import serving
from tests.receiver import receiving
from tests.studio.hearing import until

from .accounts import AccountServer, events
from .axe import findings
from .fakes import FakeJob, music

REFUSED = "Failed to load resource: the server responded with a status of "


@pytest.fixture
def box(tmp_path: Path) -> AccountServer:
    return AccountServer(tmp_path)


@pytest.fixture
def url(box: AccountServer) -> Iterator[str]:
    with serving(box) as port:
        yield f"http://127.0.0.1:{port}/"
        box.away = False
        box.close()


def sign_in(page: Any, key: str) -> Any:
    page.get_by_role("link", name="Account").click()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    return page.get_by_role("region", name="Account")


def part(page: Any, name: str) -> Any:
    return page.locator(f'[data-section="{name}"]')


def rows(page: Any, name: str) -> list[str]:
    """The first cell of each row that a section shows."""
    cells: list[str] = part(page, name).locator("tbody tr td:first-child").all_inner_texts()
    return [cell.strip() for cell in cells]


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


def test_one_key_for_a_server_that_wants_one_for_everything(
    page: Any, box: AccountServer, song: Path
) -> None:
    page.expected += [f"{REFUSED}401", f"{REFUSED}404"]  # of a job that only tries the key
    _, key = box.customer()
    box.songs.key = key
    box.songs.songs.append(FakeJob(music(2)))
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


def test_a_test_event_arrives(page: Any, box: AccountServer) -> None:
    account, key = box.customer()
    with receiving(lambda number: 200 if number else 503) as receiver:
        box.hook(account, receiver.url)
        sign_in(page, key)
        button = page.get_by_role("button", name=f"Send a test event to {receiver.url}")
        button.click()
        page.get_by_text(f"A test event is on its way to {receiver.url}.").wait_for()
        row = part(page, "deliveries").locator("tbody tr").first
        row.get_by_text("given up").wait_for()
        row.get_by_text("HTTP 503", exact=True).wait_for()
        part(page, "webhooks").get_by_text("HTTP 503").wait_for()
        button.click()
        row.get_by_text("delivered").wait_for()
        row.get_by_text("HTTP 200", exact=True).wait_for()
        assert row.get_by_text("job.completed (test)").is_visible()
        until(page, lambda: part(page, "webhooks").get_by_text("HTTP 503").count() == 0)
        assert len({name for name, _, _ in events(receiver)}) == 2


def test_an_endpoint_that_hangs_does_not_cost_the_keys_requests(
    page: Any, box: AccountServer
) -> None:
    account, key = box.customer()
    held = threading.Event()
    with receiving(lambda number: 200 if held.wait(60) else 503) as receiver:
        box.hook(account, receiver.url)
        page.clock.install()
        page.reload()
        sign_in(page, key)
        page.get_by_role("button", name=f"Send a test event to {receiver.url}").click()
        row = part(page, "deliveries").locator("tbody tr").first
        until(page, lambda: receiver.got)
        asked = len(box.requests)
        for _ in range(24):  # a minute
            page.clock.run_for(2500)
            page.wait_for_timeout(40)
        assert 4 < len(box.requests) - asked < 12
        held.set()
        for _ in range(6):
            page.clock.run_for(2500)
            page.wait_for_timeout(40)
        row.get_by_text("delivered").wait_for()


def test_a_failed_delivery_is_sent_again(page: Any, box: AccountServer) -> None:
    account, key = box.customer()
    with receiving(lambda number: 410 if number < 2 else 204) as receiver:
        box.hook(account, receiver.url)
        box.job(account, "a.wav")
        sign_in(page, key)
        part(page, "webhooks").get_by_text("switched off").wait_for()
        row = part(page, "deliveries").locator("tbody tr")
        again = row.get_by_role("button", name="Send again")
        again.focus()
        page.keyboard.press("Enter")
        until(page, lambda: len(receiver.got) == 2)
        row.locator("summary").get_by_text("2").wait_for()
        assert again.evaluate("(button) => button === document.activeElement"), "focus stays"
        page.keyboard.press("Enter")
        row.get_by_text("delivered").wait_for()
        part(page, "webhooks").get_by_text("active, last called").wait_for()
        assert again.is_hidden()
        row.locator("summary").click()
        lines = row.locator("li").all_inner_texts()
        assert [("HTTP 410" in line, "HTTP 204" in line) for line in lines] == [
            (True, False), (True, False), (False, True)]  # fmt: skip
    assert len(set(events(receiver))) == 1, "one id, one event"


def test_without_webhooks_there_is_nothing_to_choose(page: Any, box: AccountServer) -> None:
    """An empty box to choose from told nothing. The webhook is registered by another program."""
    account, key = box.customer()
    region = sign_in(page, key)
    part(page, "deliveries").get_by_text("No deliveries.").wait_for()
    assert not region.get_by_label("Deliveries of").is_visible()
    box.hook(account, "https://a.example/hook")
    region.get_by_role("button", name="Refresh").click()
    region.get_by_label("Deliveries of").wait_for()


def test_deliveries_of_one_webhook_page_by_page(page: Any, box: AccountServer) -> None:
    account, key = box.customer()
    with receiving() as one, receiving() as two:
        box.hook(account, f"{one.url}/one")
        for number in range(11):
            box.job(account, f"song{number}.wav")
        until(page, lambda: len(one.got) == 11)
        box.hook(account, f"{two.url}/two-of-them")
        box.job(account, "last.wav")
        until(page, lambda: len(two.got) == 1)
        sign_in(page, key)
        deliveries = part(page, "deliveries")
        deliveries.get_by_text("1–10 of 13").wait_for()
        deliveries.get_by_role("button", name="Older page of deliveries").click()
        deliveries.get_by_text("11–13 of 13").wait_for()
        deliveries.get_by_label("Deliveries of").select_option(label=f"{two.url}/two-of-them")
        until(page, lambda: deliveries.locator("tbody tr").count() == 1)
        assert deliveries.get_by_text("two-of-them").last.is_visible()


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
