"""One registry: what has happened is counted once, and a slow database stops no scrape."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.metrics import Metrics, metrics
from server.work.messages import Hello, LoadedModel, Report
from server.work.workers import Workers
from store import Happening, Standing
from tests.metrics.reading import Scraped

SEATS = [("separation", "separation-0"), ("separation", "separation-1"), ("audio", "audio-0")]


class Told:
    """A store that tells what the test says."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.standing_ = Standing({}, {}, None, 0)
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.taken = 0

    async def take(self) -> list[Happening]:
        self.taken += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        found, self.happenings = self.happenings, []
        return found

    async def standing(self) -> Standing:
        return self.standing_


def with_metrics(
    tmp_path: Path, main: Callable[[Metrics, Any, Workers], Coroutine[Any, Any, None]]
) -> None:
    async def body() -> None:
        told: Any = Told()
        workers = Workers(60)
        made = Metrics(told, workers, SEATS, {"data": tmp_path})
        loop = asyncio.create_task(made.run())
        await main(made, told, workers)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(body())


async def scrape(made: Metrics) -> Scraped:
    return Scraped((await made.scrape(""))[0].decode())


def happening(what: str, name: str, detail: str = "", seconds: float = 0, frames: int = 0):
    return Happening(what, name, detail, seconds, frames)


def test_what_has_happened_is_counted_once(tmp_path: Path) -> None:
    async def main(made: Metrics, told: Any, _: Workers) -> None:
        told.happenings = [
            happening("start", "pipeline", seconds=2), happening("start", "stemsplit", seconds=-5),
            happening("stage", "encode/vocals", seconds=3),
            happening("stage", "encode/drums", seconds=4),
            happening("stage", "separate", "starter", 7, 441000),
            happening("completed", "stemsplit", seconds=30),
            happening("failed", "pipeline", "The job was cancelled", 8),
            happening("credits", "hold", seconds=60), happening("delivery", "retried"),
        ]  # fmt: skip
        for _ in range(2):
            found = await scrape(made)
            assert found.value("stembox_job_queue_seconds_count") == 2
            assert found.value("stembox_job_queue_seconds_sum") == 2, "no time is negative"
            stages = found.of("stembox_stage_duration_seconds_sum")
            assert {(dict(labels)["stage"], dict(labels)["model"]): seconds
                    for labels, seconds in stages.items()} == {
                ("encode", ""): 7, ("separate", "starter"): 7}  # fmt: skip
            assert found.value("stembox_audio_seconds_total", model="starter") == 10
            finished = "stembox_jobs_finished_total"
            assert found.value(finished, api="stemsplit", outcome="completed") == 1
            assert found.value(finished, api="pipeline", outcome="cancelled") == 1
            assert found.value(finished, api="pipeline", outcome="failed") == 0, "it is there"
            assert found.value("stembox_job_duration_seconds_sum") == 30, "of completed jobs alone"
            assert found.value("stembox_credit_seconds_total", kind="hold") == 60
            assert found.value("stembox_webhook_deliveries_total", outcome="retried") == 1

    with_metrics(tmp_path, main)


def test_how_the_queue_stands(tmp_path: Path) -> None:
    async def main(made: Metrics, told: Any, _: Workers) -> None:
        told.standing_ = Standing({"encode/vocals": 2, "encode/bass": 1}, {"separate": 4},
                                  time.time() - 100, 7)  # fmt: skip
        found = await scrape(made)
        assert found.value("stembox_jobs_waiting", stage="encode") == 3
        assert found.value("stembox_jobs_waiting", stage="decode") == 0
        assert found.value("stembox_jobs_running", stage="separate") == 4
        assert 100 <= found.value("stembox_queue_oldest_age_seconds") < 100 + 60
        assert found.value("stembox_webhooks_pending") == 7
        told.standing_ = Standing({}, {}, time.time() + 100, 0)
        found = await scrape(made)
        assert found.value("stembox_queue_oldest_age_seconds") == 0, "a clock was set back"
        assert found.value("stembox_disk_free_bytes", place="data") > 0

    with_metrics(tmp_path, main)


def test_workers_that_are_there_and_that_are_not(tmp_path: Path) -> None:
    async def main(made: Metrics, _: Any, workers: Workers) -> None:
        here = SimpleNamespace(
            hello=Hello("separation", "separation-1", 1, "cuda:1", 8,
                        models=(LoadedModel("m", "float16", 1.5),)),
            report=Report(free=30, used=10),
        )
        workers._workers.append(here)  # type: ignore[arg-type]
        workers.segments, workers.forwards = 12, 3
        workers.losses["audio", "stalled"] = 2
        found = await scrape(made)
        up = {dict(labels)["worker"]: value for labels, value in
              found.of("stembox_worker_up").items()}  # fmt: skip
        assert up == {"separation-0": 0, "separation-1": 1, "audio-0": 0}
        restarts = "stembox_worker_restarts_total"
        assert found.value(restarts, pool="audio", reason="stalled") == 2
        assert found.value(restarts, pool="separation", reason="died") == 0
        memory = "stembox_gpu_memory_bytes"
        assert found.value(memory, device="cuda:1", state="used") == 10
        assert found.value(memory, device="cuda:1", state="free") == 30
        model = {"model": "m", "precision": "float16", "device": "cuda:1"}
        assert found.value("stembox_model_info", **model) == 1
        assert found.value("stembox_segments_total") == 12
        assert found.value("stembox_forwards_total") == 3

    with_metrics(tmp_path, main)


def test_requests_by_method_are_few_kinds(tmp_path: Path) -> None:
    async def main(made: Metrics, *_: Any) -> None:
        made.answered("/job/{job_id}", "GET", 200, 0.01, 0, 100)
        for number in range(50):
            made.answered("/*", f"METHOD{number}", 404, 0.01, 3, 1)
        found = await scrape(made)
        requests = found.of("stembox_http_requests_total")
        assert sorted(requests.values()) == [1, 50]
        assert found.value("stembox_http_requests_total", route="/*", method="other",
                           status="404") == 50  # fmt: skip
        assert found.value("stembox_http_request_bytes_total", route="/*") == 150
        assert found.value("stembox_http_response_bytes_total", route="/job/{job_id}") == 100

    with_metrics(tmp_path, main)


def test_a_database_that_fails_or_hangs_stops_no_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PATIENCE", 0.05)

    async def main(made: Metrics, told: Any, _: Workers) -> None:
        told.error = OSError("disk full")
        told.happenings = [happening("credits", "grant", seconds=5)]
        failures = "stembox_scrape_failures_total"
        assert (await scrape(made)).value(failures) == 1
        told.error, told.gate = None, asyncio.Event()
        assert (await scrape(made)).value(failures) == 2
        taken = told.taken
        await scrape(made)
        assert told.taken == taken, "one at a time"
        told.gate.set()
        found = await scrape(made)
        assert found.value("stembox_credit_seconds_total", kind="grant") == 5, "nothing is lost"

    with_metrics(tmp_path, main)


def test_it_is_counted_where_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SWEEP_SECONDS", 0.01)

    async def main(_: Metrics, told: Any, __: Workers) -> None:
        told.happenings = [happening("credits", "grant", seconds=5)]
        while told.happenings:
            await asyncio.sleep(0.01)

    with_metrics(tmp_path, main)


def test_openmetrics_for_who_asks_for_it(tmp_path: Path) -> None:
    async def main(made: Metrics, *_: Any) -> None:
        body, media_type = await made.scrape("application/openmetrics-text;version=1.0.0")
        assert media_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert b"_created" not in body
        assert (await made.scrape("*/*"))[1].startswith("text/plain; version=0.0.4")

    with_metrics(tmp_path, main)


def test_a_place_that_is_gone_is_left_out(tmp_path: Path) -> None:
    """A faster place for scratch files may be unmounted: jobs go on without it."""

    async def main() -> None:
        told: Any = Told()
        places = {"data": tmp_path, "scratch": tmp_path / "gone"}
        found = await scrape(Metrics(told, Workers(60), SEATS, places))
        for name in ("stembox_disk_free_bytes", "stembox_disk_size_bytes"):
            assert found.value(name, place="data") is not None
            assert found.value(name, place="scratch") is None

    asyncio.run(main())
