"""When a run fails, and what is said of it; and one short run against a real server."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from loadtests.traffic.profile import Thresholds
from loadtests.traffic.verdict import Resources, Route, Verdict, broken, table

POLL = "GET /job/{id}"
TAKEN = Resources({"API": 3.0}, 900.0, 5.0, 80, 2.0, 50.0, 1.0)
GOOD = Verdict(
    profile="p", seconds=60.0, load_average=1.0, routes=[Route(POLL, 100, 1, 5, 20, 40, 90)],
    errors={}, jobs={"completed": 9, "cancelled": 2}, jobs_a_minute=9.0,
    audio_seconds_a_second=8.0, core_seconds_an_audio_minute=5.0, deepest_queue=3,
    oldest_waiting_s=4.0, longest_wait_s=5.0, webhooks={"verified": 4}, bad_clients={}, crashes=0,
    resources=TAKEN,
)  # fmt: skip


def changed(**fields: object) -> Verdict:
    return msgspec.structs.replace(GOOD, **fields)


def test_a_good_run_breaks_nothing() -> None:
    wanted = Thresholds(failed_share=0.01, least_jobs_a_minute=9.0, longest_wait_s=5.0,
                        memory_growth_mb=5.0, handles_growth=2.0, p50_ms={POLL: 5.0},
                        p99_ms={POLL: 40.0, "GET /never": 1.0})  # fmt: skip
    assert broken(GOOD, wanted) == []
    assert "all thresholds kept" in table(GOOD, [])


@pytest.mark.parametrize(("wanted", "verdict", "said"), [
    (Thresholds(failed_share=0.009), GOOD, "share of failures: 0.01, at most 0.009"),
    (Thresholds(failed_share=1), changed(jobs={"failed": 1, "given up": 2}), "complete: 3"),
    (Thresholds(failed_share=1), changed(webhooks={"missing": 1}), "did not come: 1"),
    (Thresholds(failed_share=1), changed(webhooks={"unverified": 1}), "be verified: 1"),
    (Thresholds(failed_share=1, longest_wait_s=4.9), GOOD, "a job waited: 5"),
    (Thresholds(failed_share=1, longest_wait_s=5.0), changed(oldest_waiting_s=6.0), "waited: 6"),
    (Thresholds(failed_share=1), changed(crashes=2), "crashes of the load test itself: 2"),
    (Thresholds(failed_share=1, least_jobs_a_minute=10), GOOD, "jobs a minute: 9, at least 10"),
    (Thresholds(failed_share=1, memory_growth_mb=4), GOOD, "memory grew: 5"),
    (Thresholds(failed_share=1, handles_growth=1), GOOD, "handles more: 2"),
    (Thresholds(failed_share=1, p50_ms={POLL: 4}), GOOD, "p50_ms of GET /job/{id}: 5, at most 4"),
    (Thresholds(failed_share=1, p99_ms={POLL: 39}), GOOD, "p99_ms of GET /job/{id}: 40"),
])  # fmt: skip
def test_every_threshold_can_be_broken(wanted: Thresholds, verdict: Verdict, said: str) -> None:
    (sentence,) = broken(verdict, wanted)
    assert said in sentence
    assert sentence in table(verdict, [sentence])


PROFILE = """
pause_s = [0.1, 1.0]
patience_s = 250.0
shape = {kind = "steady", users = 6, seconds = 20.0, spawn_rate = 6.0}
songs = {lengths = [4.0], weights = [1.0]}
users = {partner = 1, webhook_partner = 1, pipeline = 1, browser = 1, bad = 2}
settings = {limits__requests_per_minute = 6000, server__min_free_percent = 0}
"""


def test_a_short_run_against_a_server_of_its_own(tmp_path: Path) -> None:
    """All kinds of users; nothing that depends on how fast the machine is."""
    (tmp_path / "p.toml").write_text(PROFILE)
    (tmp_path / "t.toml").write_text("least_jobs_a_minute = 100000.0")
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.traffic", "--traffic", str(tmp_path / "p.toml"),
         "--report", str(tmp_path / "report"), "--thresholds", str(tmp_path / "t.toml"),
         "--songs", str(tmp_path / "songs"), "--stop-timeout", "200"],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "report" / "verdict.json").read_text())
    assert [said.split(":")[0] for said in found["not_kept"]] == ["jobs a minute"], found
    assert found["jobs"]["completed"] > 0
    routes = {route["name"]: route for route in found["routes"]}
    assert routes[POLL]["requests"] > 0 and routes["GET /api/v1/jobs/{id}"]["requests"] > 0
    assert sum(found["bad_clients"].values()) > 0
    assert found["webhooks"]["verified"] > 0
    assert found["resources"]["core_seconds"].keys() >= {"API", "audio", "separation"}
    assert (tmp_path / "report" / "verdict.png").read_bytes().startswith(b"\x89PNG")
    assert "NOT KEPT" in done.stdout
