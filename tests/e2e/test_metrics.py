"""The figures of a real server after real jobs, alone and read by a real Prometheus."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.deploy.monitoring import PROMETHEUS, named_in, promtool, queries, tool
from tests.e2e.calling import Caller, command, new_key
from tests.harness import PATIENCE, Server, free_port, serving, wait_for
from tests.metrics.reading import Scraped
from tests.receiver import receiving

TOKEN = "t0ken-of-16-chars"
# what must be there after a job of each API, with which labels, beside what none has
LABELS = {
    "stembox_http_requests_total": {"route", "method", "status"},
    "stembox_http_request_duration_seconds": {"route", "method"},
    "stembox_http_request_bytes_total": {"route"},
    "stembox_http_response_bytes_total": {"route"},
    "stembox_jobs_waiting": {"stage"},
    "stembox_jobs_running": {"stage"},
    "stembox_queue_oldest_age_seconds": set(),
    "stembox_jobs_finished_total": {"api", "outcome"},
    "stembox_job_queue_seconds": set(),
    "stembox_job_duration_seconds": set(),
    "stembox_stage_duration_seconds": {"stage", "model"},
    "stembox_audio_seconds_total": {"model"},
    "stembox_segments_total": set(),
    "stembox_forwards_total": set(),
    "stembox_worker_up": {"pool", "worker"},
    "stembox_worker_restarts_total": {"pool", "reason"},
    "stembox_gpu_memory_bytes": {"device", "state"},
    "stembox_disk_free_bytes": {"place"},
    "stembox_disk_size_bytes": {"place"},
    "stembox_model_info": {"model", "precision", "device"},
    "stembox_webhook_deliveries_total": {"outcome"},
    "stembox_webhooks_pending": set(),
    "stembox_credit_seconds_total": {"kind"},
    "stembox_build_info": {"version"},
    "stembox_scrape_failures_total": set(),
}  # fmt: skip
NO_CARD = {"stembox_gpu_memory_bytes"}  # declared, and without a value, on a machine without one


def scrape(server: Server) -> Scraped:
    return Scraped(server.get("/metrics").text)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, songs: dict[str, Path]) -> Iterator[Server]:
    """A server that has done one job of each API, and told a webhook of one."""
    data = tmp_path_factory.mktemp("metrics") / "data"
    with serving(data, limits__requests_per_minute=100_000, metrics__token=TOKEN,
                 fetch__allow_networks="127.0.0.0/8") as server, receiving() as receiver:
        done = server.end_of(server.post(songs["wav"]).json()["job_id"])
        assert done["status"] == "completed"
        ann = Caller(server, new_key(server, "ann"))
        ann.http.post("/webhooks", json={"url": receiver.url})
        order = {"outputType": "BOTH", "uploadKey": ann.upload(songs["wav"])}
        assert ann.end_of(ann.create(**order).json()["id"])["status"] == "COMPLETED"
        wait_for(lambda: receiver.got)
        delivered = "stembox_webhook_deliveries_total"
        wait_for(lambda: scrape(server).value(delivered, outcome="delivered"))
        described = {"stage": "describe", "model": ""}
        wait_for(lambda: scrape(server).value("stembox_stage_duration_seconds_count", **described))
        yield server


def test_every_figure_is_there_with_the_labels_that_are_promised(box: Server) -> None:
    found = scrape(box)
    assert {name for name in found.names if not name.startswith("process_")} == set(LABELS)
    for family in found.families:
        name = family.name + ("_total" if family.type == "counter" else "")
        if name.startswith("process_"):
            continue
        assert bool(family.samples) == (name not in NO_CARD), name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == LABELS[name], sample
        assert family.documentation


def test_they_say_what_has_happened(box: Server) -> None:
    found = scrape(box)
    for api in ("pipeline", "stemsplit"):
        ended = found.value("stembox_jobs_finished_total", api=api, outcome="completed")
        assert ended == 1
    assert found.value("stembox_job_duration_seconds_count") == 2
    assert found.value("stembox_audio_seconds_total", model="starter") == pytest.approx(12, abs=0.1)
    stages = {dict(labels)["stage"]: count for labels, count in
              found.of("stembox_stage_duration_seconds_count").items()}  # fmt: skip
    assert stages == {"decode": 2, "separate": 2, "harmonic_percussive": 1, "encode_stems": 1,
                      "compose": 1, "normalise": 1, "encode": 2, "describe": 1}  # fmt: skip
    assert found.value("stembox_segments_total") >= found.value("stembox_forwards_total") > 0
    assert set(found.of("stembox_worker_up").values()) == {1}
    assert found.value("stembox_credit_seconds_total", kind="grant") == 3600
    assert found.value("stembox_credit_seconds_total", kind="hold") == 6
    assert found.value("stembox_credit_seconds_total", kind="capture") == 6
    assert found.value("stembox_credit_seconds_total", kind="release") == 0
    polls = {"route": "/api/v1/jobs/{id}", "method": "GET", "status": "200"}
    assert found.value("stembox_http_requests_total", **polls) >= 1
    assert found.value("stembox_http_request_bytes_total", route="/process") > 1_000_000


def test_prometheus_finds_no_fault_with_them(box: Server) -> None:
    checked = promtool("check", "metrics", text=box.get("/metrics").text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_what_strangers_ask_for_makes_no_new_series(box: Server) -> None:
    def series() -> set:
        return {key for key in scrape(box).samples if "http" in key[0]}

    def ask(word: str) -> None:
        with httpx.Client(base_url=box.url) as client:
            for path in (f"/{word}", f"/job/{word}", f"/download/{word}/{word}", f"/api/v1/{word}",
                         f"/api/v1/jobs/{word}", f"/studio/{word}"):  # fmt: skip
                for method in ("GET", "DELETE", word.upper()):
                    client.request(method, path, headers={"X-Request-Id": word})

    ask("first")
    before = series()
    for number in range(10):
        ask(f"word{'abcdefghij'[number]}")
    assert series() == before


def test_a_name_of_an_account_or_a_job_is_nowhere(box: Server) -> None:
    text = box.get("/metrics").text
    assert "ann" not in re.findall(r'"([^"]*)"', text)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|sk_live|short", text)


def test_who_speaks_for_others_needs_the_token(box: Server) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    refused = box.get("/metrics", headers=forwarded)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "stembox_" not in refused.text
    shown = forwarded | {"Authorization": f"Bearer {TOKEN}"}
    assert box.get("/metrics", headers=shown).status_code == 200
    assert TOKEN not in box.log.read_text()
    key = command(box, "keys", "create", "--account", "ops", "--scopes", "admin")
    operator = forwarded | {"Authorization": f"Bearer {key}"}
    assert box.get("/metrics", headers=operator).status_code == 200


def test_a_worker_that_dies_is_seen_missing_and_counted(box: Server) -> None:
    died = {"pool": "probe", "reason": "died"}
    before = scrape(box).value("stembox_worker_restarts_total", **died)
    os.kill(box.pid_of("probe-0"), signal.SIGKILL)
    wait_for(lambda: scrape(box).value("stembox_worker_restarts_total", **died) == before + 1)
    up = {"pool": "probe", "worker": "probe-0"}
    wait_for(lambda: scrape(box).value("stembox_worker_up", **up) == 1)


@contextmanager
def prometheus(folder: Path, server: Server) -> Iterator[str]:
    """A real Prometheus, with our own configuration, that looks every second; yields its URL."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    text = text.replace("stembox:8000", f"127.0.0.1:{server.port}").replace(": 15s", ": 1s")
    (folder / "prometheus.yml").write_text(text)
    (folder / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
    port = free_port()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log)  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(30)


def result(api: str, query: str) -> list:
    try:
        answer = httpx.get(f"{api}/query", params={"query": query}, timeout=30)
    except httpx.TransportError:
        return []
    return answer.json()["data"]["result"] if answer.status_code == 200 else []


def test_a_real_prometheus_reads_them_and_no_panel_is_empty(
    box: Server, songs: dict[str, Path], tmp_path: Path
) -> None:
    deadline = time.monotonic() + PATIENCE
    with prometheus(tmp_path, box) as api:
        wait_for(lambda: [r["value"][1] for r in result(api, 'up{job="stembox"}')] == ["1"])
        wait_for(lambda: result(api, 'stembox_http_requests_total{route="/process"}'))
        box.end_of(box.post(songs["wav"]).json()["job_id"])  # so that bytes are seen to rise
        empty = [query for query in queries() if not named_in(query) & NO_CARD]
        while empty:
            box.get("/config")  # what is a rate needs something that goes on
            empty = [query for query in empty if not result(api, query)]
            assert time.monotonic() < deadline, empty
        assert set(wait_for(lambda: evaluated(api)).values()) == {"ok"}


def evaluated(api: str) -> dict[str, str]:
    """Each rule's health, once all were evaluated."""
    groups = httpx.get(f"{api}/rules").json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    return {} if "unknown" in health.values() else health


def test_rules_and_panels_name_only_what_there_is(box: Server) -> None:
    known = scrape(box).names
    for text in (*queries(), (PROMETHEUS / "alerts.yml").read_text()):
        assert named_in(text) <= known


def test_no_process_inherits_the_token(box: Server) -> None:
    """It comes by the environment here, and decoders of strangers' files could read that."""
    everyone = psutil.Process(box.process.pid).children(recursive=True)
    workers = [one for one in everyone if any("spawn_main" in word for word in one.cmdline())]
    assert len(workers) > 3
    for worker in workers:
        assert TOKEN not in worker.environ().values(), worker
