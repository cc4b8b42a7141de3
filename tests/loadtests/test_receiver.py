"""What the load test takes for a true webhook: the server's own, and no other."""

import json

import pytest

from loadtests.traffic.receiver import verified
from server.jobs.webhooks.signatures import new_secret, signed_headers

BODY = json.dumps({"event": "job.completed", "data": {"jobId": "j"}}).encode()
NOW = 1_800_000_000


def headers(secret: str, body: bytes = BODY) -> dict[str, str]:
    made = signed_headers(secret, "msg_1", NOW, "job.completed", body)
    return {name.lower(): value for name, value in made.items()}


def test_ours_are_true() -> None:
    secret = new_secret()
    assert verified(secret, headers(secret), BODY, NOW)


@pytest.mark.parametrize("change", [
    {"x-webhook-signature": "sha256=00"}, {"webhook-signature": "v1,AAAA"}, {"webhook-id": "msg_2"},
    {"webhook-timestamp": str(NOW + 1)}, {"webhook-timestamp": "soon"}, {"webhook-signature": ""},
])  # fmt: skip
def test_others_are_not(change: dict[str, str]) -> None:
    secret = new_secret()
    assert not verified(secret, headers(secret) | change, BODY, NOW)


def test_neither_is_another_body_another_secret_or_an_old_one() -> None:
    secret = new_secret()
    assert not verified(secret, headers(secret), BODY + b" ", NOW)
    assert not verified(new_secret(), headers(secret), BODY, NOW)
    assert not verified(secret, headers(secret), BODY, NOW + 301)
