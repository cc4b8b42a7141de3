"""The account on a phone and on a tablet."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.receiver import receiving
from tests.studio.hearing import until

from .accounts import AccountServer, part, rows, sign_in
from .accounts import box as box
from .accounts import url as url
from .test_touch import LYING, PHONE, TABLET, too_small
from .test_touch import page as page


@pytest.fixture
def account(page: Any, box: AccountServer) -> Iterator[Any]:
    """Signed in, with jobs of both ends and deliveries that failed."""
    customer, key = box.customer()
    with receiving(lambda number: 500) as receiver:
        box.hook(customer, receiver.url)
        box.job(customer, "a.wav")
        box.job(customer, "b.wav", "failed")
        assert too_small(page) == []
        region = sign_in(page, key)
        until(page, lambda: len(rows(page, "deliveries")) == 2)
        answers = part(page, "deliveries").locator("td.answer")
        until(page, lambda: answers.all_inner_texts() == ["HTTP 500"] * 2)
        yield region


@pytest.mark.parametrize("size", [PHONE, LYING, TABLET])
def test_everything_is_large_enough_for_a_finger(page: Any, account: Any) -> None:
    assert too_small(page) == []
    summary = part(page, "deliveries").locator("summary").first
    assert summary.get_attribute("aria-label") == "1 attempt"
    summary.click()
    assert too_small(page) == []


@pytest.mark.parametrize("size", [(320, 640), PHONE])
@pytest.mark.parametrize("seconds", [3609, 599_999])
def test_the_balance_stands_on_one_line(page: Any, account: Any, seconds: int) -> None:
    page.route("**/api/v1/balance", lambda route: route.fulfill(json={"balanceSeconds": seconds}))
    account.get_by_role("button", name="Refresh").click()
    balance = part(page, "balance").locator(".balance")
    balance.get_by_text(f"{seconds // 60} min {seconds % 60} s", exact=True).wait_for()
    assert balance.bounding_box()["height"] <= 24
    assert too_small(page) == []
