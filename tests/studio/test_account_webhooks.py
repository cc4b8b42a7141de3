"""The account's webhooks in a browser: test events, and what became of their deliveries."""

import threading
from typing import Any

from tests.receiver import receiving
from tests.studio.hearing import until

from .accounts import REFUSED, AccountServer, events, part, sign_in
from .accounts import box as box
from .accounts import url as url


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


def test_a_chosen_webhook_that_is_deleted_elsewhere(page: Any, box: AccountServer) -> None:
    page.expected.append(f"{REFUSED}404")
    account, key = box.customer()
    with receiving() as one, receiving() as two:
        box.hook(account, one.url)
        box.hook(account, f"{two.url}/two")
        box.job(account, "song.wav")
        until(page, lambda: len(one.got) == len(two.got) == 1)
        region = sign_in(page, key)
        deliveries = part(page, "deliveries")
        deliveries.get_by_label("Deliveries of").select_option(label=f"{two.url}/two")
        until(page, lambda: deliveries.locator("tbody tr").count() == 1)
        box.do(lambda: box.hooks.delete(account, f"hook{len(two.url) + 4}"))
        region.get_by_role("button", name="Refresh").click()
        until(page, lambda: part(page, "webhooks").locator("li").count() == 1)
        assert deliveries.get_by_label("Deliveries of").evaluate("(box) => box.value") == ""
        assert region.get_by_text("Webhook not found").count() == 0
