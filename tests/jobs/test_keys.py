"""API keys, the schedule of deliveries, and both signatures: pure, against published verifiers."""

import json
from itertools import pairwise

import pytest
import standardwebhooks
from stemsplit_python import webhooks as published

from server.jobs import keys
from server.jobs.progress import percent
from server.jobs.webhooks import retry
from server.jobs.webhooks.signatures import callback_secret, new_secret, signed_headers
from store import Stage

EVENT = json.dumps({
    "event": "job.completed", "timestamp": "2026-05-21T12:00:00Z",
    "data": {"jobId": "j", "status": "COMPLETED"},
}).encode()


def test_a_key_is_random_and_checks_itself() -> None:
    made = {keys.new_key() for _ in range(1000)}
    assert len(made) == 1000
    key = made.pop()
    assert keys.well_formed(key)
    assert key.startswith("sk_live_")
    assert 62**keys.RANDOM > 2**160
    assert len(keys.shown(key)) == 16


def test_a_changed_character_is_told_without_the_database() -> None:
    key = keys.new_key()
    for place in range(len(key)):
        for other in "aZ0_é":
            if key[place] != other:
                assert not keys.well_formed(key[:place] + other + key[place + 1 :])
    assert not any(map(keys.well_formed, ("", "sk_live_", key + "a", key[:-1])))


def test_test_keys_look_like_others_but_for_their_beginning() -> None:
    key = keys.new_key(test=True)
    assert key.startswith("sk_test_") and keys.well_formed(key) and keys.is_test(keys.shown(key))
    live = keys.new_key()
    assert not keys.is_test(live) and len(live) == len(key)
    assert keys.hash_of(live) != keys.hash_of(live.replace("sk_live_", "sk_test_")), "not one key"
    assert not keys.well_formed(key.replace("sk_test_", "sk_prod_"))


def test_the_schedule() -> None:
    times = [0.0]
    while (after := retry.next_attempt(len(times), times[-1], 0.5)) is not None:
        times.append(after)
    assert [b - a for a, b in pairwise(times)] == [5, 30, 120, 600, 3600, 10800, 21600]
    assert retry.next_attempt(1, 0.0, 0.0) == pytest.approx(4.5)
    assert retry.next_attempt(1, 0.0, 1.0) == pytest.approx(5.5)


def test_the_documented_signature_is_the_published_clients() -> None:
    secret = new_secret()
    headers = signed_headers(secret, "msg_1", 1.0, "job.completed", EVENT)
    event = published.verify_and_parse(
        payload=EVENT, signature=headers["X-Webhook-Signature"], secret=secret)
    assert event.data.job_id == "j"
    assert not published.verify_signature(EVENT + b" ", headers["X-Webhook-Signature"], secret)
    assert not published.verify_signature(EVENT, headers["X-Webhook-Signature"], new_secret())


def test_the_standard_webhooks_headers_verify() -> None:
    import time

    secret = new_secret()
    headers = signed_headers(secret, "msg_1", time.time(), "job.completed", EVENT)
    assert standardwebhooks.Webhook(secret).verify(EVENT, headers)["event"] == "job.completed"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(EVENT + b" ", headers)
    late = signed_headers(secret, "msg_1", time.time() - 3600, "job.completed", EVENT)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(EVENT, late)


def test_callback_secrets_differ_by_account_and_server() -> None:
    made = {callback_secret(m, a) for m in (b"a" * 32, b"b" * 32) for a in (None, "x", "y")}
    assert len(made) == 6
    assert callback_secret(b"a" * 32, "x") == callback_secret(b"a" * 32, "x")


def stage(name: str, state: str, late: int = 0) -> Stage:
    return Stage("j", name, "audio", state, 1, None, None, None, None, "{}", late)


def test_progress_follows_the_stages_and_keeps_100_for_the_end() -> None:
    names = ("decode", "separate", "encode/vocals")
    told = []
    for done in range(4):
        states = [stage(n, "completed" if i < done else "pending") for i, n in enumerate(names)]
        told.append(percent([*states, stage("describe", "pending", 1)], {}))
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] == 99
    assert percent([stage("separate", "processing")], {"separate": 0.5}) == 50
    assert percent([], {}) == 0
