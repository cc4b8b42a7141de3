"""Tests of webhooks and events that are sent again, from outside, by the published verifiers."""

from typing import Any

import standardwebhooks
from stemsplit_python import webhooks as published

from tests.e2e.calling import Caller, error, new_key
from tests.harness import Server, wait_for
from tests.receiver import Got, receiving


def settled(caller: Caller, delivery: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        listed = caller.http.get("/deliveries").json()["deliveries"]
        [found] = [one for one in listed if one["id"] == delivery]
        return found if found["state"] != "WAITING" else None

    found: dict[str, Any] = wait_for(over)
    return found


def verified(got: Got, secret: str) -> Any:
    headers = {name.lower(): value for name, value in got.headers.items()}
    standardwebhooks.Webhook(secret).verify(got.body, headers)
    return published.verify_and_parse(
        payload=got.body, signature=got.headers["X-Webhook-Signature"], secret=secret)


def test_a_test_is_an_event_as_any_other(box: Server) -> None:
    carl = Caller(box, new_key(box, "carl"))
    with receiving() as receiver:
        hook = carl.http.post("/webhooks", json={"url": receiver.url}).json()
        answer = carl.http.post(f"/webhooks/{hook['id']}/test")
        assert answer.status_code == 202
        sent = settled(carl, answer.json()["id"])
        [got] = receiver.got
        event = verified(got, hook["secret"])
        assert (event.event, event.data.metadata) == ("job.completed", {"test": True})
        assert got.headers["X-Webhook-Id"] == sent["id"]
        assert (sent["state"], sent["attempts"][0]["statusCode"]) == ("DELIVERED", 200)
        assert error(carl.http.post(f"/deliveries/{sent['id']}/resend")) == \
            (409, "ALREADY_DELIVERED")  # fmt: skip


def test_a_failed_one_arrives_when_it_is_sent_again(box: Server) -> None:
    dora = Caller(box, new_key(box, "dora"))
    with receiving(lambda number: 410 if number == 0 else 200) as receiver:
        hook = dora.http.post("/webhooks", json={"url": receiver.url}).json()
        failed = settled(dora, dora.http.post(f"/webhooks/{hook['id']}/test").json()["id"])
        assert (failed["state"], failed["attempts"][0]["statusCode"]) == ("GIVEN_UP", 410)
        for _ in range(2):
            answer = dora.http.post(f"/deliveries/{failed['id']}/resend",
                                    headers={"Idempotency-Key": "once"})
            assert answer.status_code == 202
        sent = settled(dora, failed["id"])
        first, second = receiver.got
        assert first.headers["X-Webhook-Id"] == second.headers["X-Webhook-Id"] == sent["id"]
        verified(second, hook["secret"])
        assert [a["statusCode"] for a in sent["attempts"]] == [410, 200]
