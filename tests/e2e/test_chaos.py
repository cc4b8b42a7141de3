"""J1, L2, W1: kill -9 at random instants, of any process or all of them, under load on both APIs.

Every accepted job ends once, and none that waited before the last kill is still at work when later
songs come out; a song fails only when it had all its three attempts; what completes is a fault-free
run's; credits are settled as jobs ended; every event arrives, signed, under one id.

The short run is part of every test run, with a server that waits a tenth as long before it starts
again what died; `make chaos` runs the long one, with all the pauses there are.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from server.jobs.webhooks.signatures import new_secret, signed_headers
from tests.e2e.mortal import GRANTED, Mortal, mortal, wrong_events, wrong_signatures
from tests.harness import wait_for
from tests.receiver import Got

HASTY = (sys.executable, "-m", "tests.e2e.hasty_restarts")


def kill_one(server: Mortal, chance: random.Random) -> None:
    """Any process, or now and then all of them."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if chance.random() < 0.15:
            os.killpg(server.server.process.pid, signal.SIGKILL)
        else:
            os.kill(chance.choice(server.server.processes()).pid, signal.SIGKILL)


def chaos(folder: Path, kills: int, seed: int, **more: object) -> None:
    chance = random.Random(seed)
    fast = folder / "fast"
    fast.mkdir()
    with mortal(folder, refusing=0.4, server__scratch_dir=fast,
                jobs__stall_seconds=10, **more) as server:  # fmt: skip
        key = server.upload()
        for number in range(kills):
            if number % 2 == 0:  # there is always work, of both APIs
                server.split(key, f"song {number}")
                server.plain()
            time.sleep(chance.uniform(0.1, 2))
            kill_one(server, chance)
        server.again(lambda: server.server.get("/health"))
        assert server.stuck() == []
        server.end()
        assert server.wrong() == []
        paid = server.rows("SELECT coalesce(sum(seconds), 0) FROM ledger WHERE kind = 'capture'")
        assert server.caller.balance() == 60 * GRANTED - paid[0][0]
        assert server.rows("SELECT count(*) FROM jobs WHERE state = 'completed'")[0][0] > kills / 2
        wait_for(lambda: server.nothing_left() and not list(fast.glob("*/jobs/*")))
        assert not [process for process in server.server.processes()
                    if process.status() == psutil.STATUS_ZOMBIE]  # fmt: skip


@pytest.mark.timeout(900)
def test_twenty_kills(tmp_path: Path) -> None:
    chaos(tmp_path, kills=20, seed=7, stembox=HASTY)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(2))
def test_two_hundred_kills(tmp_path: Path, seed: int) -> None:
    chaos(tmp_path, kills=200, seed=seed)


@pytest.mark.timeout(600)
def test_a_job_that_stays_behind_is_found(tmp_path: Path) -> None:
    """The planted bug: what a dead API process had in hand is not taken back."""
    with mortal(tmp_path, "keeps-orphans") as server:
        server.failpoints.kill_at(["commit _finish before"])
        server.plain()
        wait_for(server.failpoints.died)
        first = sorted(server.accepted)
        assert server.stuck() == first


def test_an_event_that_is_not_as_it_must_be_is_found() -> None:
    """Planted bugs of a sender: an id at each attempt, a false end, another body, another key."""
    secret, body = new_secret(), json.dumps({"event": "job.failed", "data": {"jobId": "a"}})

    def sent(name: str = "m", said: str = body, signed: str = body, key: str = secret) -> Got:
        headers = signed_headers(key, name, time.time(), "job.failed", signed.encode())
        return Got("/", headers, said.encode())

    assert wrong_events([sent(), sent()], {"a": "failed"}) == []
    assert wrong_events([sent("m"), sent("n")], {"a": "failed"})
    assert wrong_events([sent()], {"a": "completed"})
    assert wrong_events([], {"a": "failed"})
    assert wrong_events([sent()], {})
    assert wrong_signatures(sent(), secret) == []
    assert len(wrong_signatures(sent(said=body + " "), secret)) == 2
    assert len(wrong_signatures(sent(key=new_secret()), secret)) == 2
