"""The StemSplit side of a crash: after kills every job has ended, its credits are settled once, and
every event has arrived, with a receiver that fails at random. Backups that were taken meanwhile are
whole or not there, and no audit finds anything."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from stemsplit_python import webhooks as published

from server.upkeep.looking import findings, look
from server.upkeep.restore import restore
from tests.e2e.calling import Caller, new_key
from tests.harness import Server, serving, wait_for
from tests.receiver import receiving

SEED = 11


def post(caller: Caller, key: str) -> str | None:
    """A job's id, or None when the server was down at that moment."""
    try:
        answer = caller.create(uploadKey=key, outputType="BOTH", quality="FAST")
    except httpx.TransportError:
        return None
    return answer.json()["id"] if answer.status_code == 201 else None


def kill_all(server: Server) -> None:
    """The whole group at once, as when the machine loses the process tree; then a new start."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.start(ready=False)
    wait_for(server.healthy)


def ledger(data: Path) -> list[sqlite3.Row]:
    with sqlite3.connect(f"file:{data}/stembox.db?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM ledger ORDER BY id").fetchall()


def check_ledger(entries: list[sqlite3.Row], jobs: dict[str, str]) -> None:
    """L2: one hold, and exactly one capture or release, as the job ended; nothing below zero."""
    kinds = Counter((e["job_id"], e["kind"]) for e in entries if e["job_id"])
    for job_id, status in jobs.items():
        wanted = "capture" if status == "COMPLETED" else "release"
        assert kinds[job_id, "hold"] == kinds[job_id, wanted] == 1
        assert kinds[job_id, "capture"] + kinds[job_id, "release"] == 1
    assert sum(kinds.values()) == 2 * len(jobs)
    assert min(e["balance"] for e in entries) >= 0


def back_up(server: Server, target: Path) -> subprocess.Popen[bytes]:
    """Begins a backup: the server may die before it answers."""
    return subprocess.Popen(
        [sys.executable, "-m", "server.cli", "backup", str(target), "--outputs",
         "--data-dir", str(server.data)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def check_backup(process: subprocess.Popen[bytes], target: Path, seconds: int) -> None:
    """It is there if it says so, and restored it keeps all promises; if not, it says why."""
    _, said = process.communicate(timeout=240)
    assert target.exists() == (process.returncode == 0), said
    if process.returncode != 0:
        assert said.strip().splitlines()[-1].startswith(b"stembox: "), said
        return
    data = target.with_suffix("")
    restored = restore(target, data, silent)
    assert restored.findings == [] and look(data, silent) == []
    granted = [e["seconds"] for e in ledger(data) if e["kind"] == "grant"]
    assert sum(granted) == seconds


def silent(name: str, done: float) -> None: ...


@pytest.mark.timeout(600)
def test_kills_lose_no_job_no_credit_and_no_event(tmp_path: Path, songs: dict[str, Path]) -> None:
    chance = random.Random(SEED)
    refusals = [500 if chance.random() < 0.4 else 200 for _ in range(1000)]
    with receiving(lambda number: refusals[number]) as receiver, serving(
        tmp_path / "data", limits__requests_per_minute=100_000, jobs__max_attempts=50,
        fetch__allow_networks="127.0.0.0/8",
    ) as server:  # fmt: skip
        caller = Caller(server, new_key(server, "ann"))
        secret = caller.http.post("/webhooks", json={"url": receiver.url}).json()["secret"]
        key = caller.upload(songs["wav"])
        accepted = [job for _ in range(3) if (job := post(caller, key))]
        caller.http.delete(f"/jobs/{accepted[-1]}")
        backups = []
        for turn in range(3):
            wait_for(lambda: caller.http.get("/jobs").status_code == 200)
            if job := post(caller, key):
                accepted.append(job)
            target = tmp_path / f"backup{turn}.tar"
            backups.append((back_up(server, target), target))
            time.sleep(chance.uniform(0.5, 2.5))  # it takes about so long to begin
            chance.choice((lambda: kill_all(server),
                           lambda: os.kill(server.api_pid(), signal.SIGKILL)))()  # fmt: skip
            wait_for(lambda: server.process.poll() is not None or server.healthy())
            if server.process.poll() is not None:
                server.start(ready=False)
                wait_for(server.healthy)
        ends = {job: caller.end_of(job)["status"] for job in accepted}
        assert Counter(ends.values()) == {"COMPLETED": len(accepted) - 1, "FAILED": 1}
        check_ledger(ledger(server.data), ends)
        assert caller.balance() == 3600 - 6 * (len(accepted) - 1)

        def told() -> set[tuple[str, str]]:
            good = [got for number, got in enumerate(receiver.got) if refusals[number] == 200]
            bodies = [json.loads(got.body) for got in good]
            return {(body["data"]["jobId"], body["event"]) for body in bodies}

        events = {"COMPLETED": "job.completed", "FAILED": "job.failed"}
        wait_for(lambda: told() == {(job, events[end]) for job, end in ends.items()}, 200)
        names = {}
        for got in receiver.got:
            assert published.verify_signature(
                got.body, got.headers["X-Webhook-Signature"], secret)
            body = json.loads(got.body)
            names.setdefault(body["data"]["jobId"], set()).add(got.headers["X-Webhook-Id"])
        assert all(len(found) == 1 for found in names.values()), "one id over all attempts"
        wait_for(lambda: not list((server.data / "scratch").iterdir()))
        assert findings(server.data, silent) == []
        for process, target in backups:
            check_backup(process, target, 3600)


def test_the_check_of_the_ledger_can_fail() -> None:
    """A checker that never failed proves nothing."""
    def entry(kind: str, balance: int = 0) -> dict[str, object]:
        return {"job_id": "a", "kind": kind, "balance": balance}

    check_ledger([entry("hold"), entry("capture")], {"a": "COMPLETED"})
    for wrong in (
        [entry("hold")], [entry("hold"), entry("release")], [entry("capture")],
        [entry("hold"), entry("capture"), entry("release")],
        [entry("hold", -1), entry("capture")], [entry("hold"), entry("hold"), entry("capture")],
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check_ledger(wrong, {"a": "COMPLETED"})
