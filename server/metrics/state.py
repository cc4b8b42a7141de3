"""How the server stands at the moment of a scrape: queue, workers, models, memory, disks."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server import __version__
from server.jobs.plan import KINDS, kind_of
from server.work.workers import Workers
from store import Standing

REASONS: Final = ("died", "stalled")
Seats = Sequence[tuple[str, str]]
"""The workers that there should be: pool and name of each."""


class StateCollector(Collector):
    """Reads what is in memory. `standing` is the queue as it was last counted.

    places: folders whose disks are watched, by what they are for.
    """

    def __init__(self, workers: Workers, seats: Seats, places: Mapping[str, Path]) -> None:
        self._workers = workers
        self._seats = seats
        self._places = places
        self.standing = Standing({}, {}, None, 0)

    def collect(self) -> Iterator[Metric]:
        """Every figure, with each of its series even where it is zero."""
        build = GaugeMetricFamily("stembox_build_info", "The running version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._queue()
        yield from self._work()
        yield from self._pools()
        yield from self._memory()
        yield from self._disks()

    def _queue(self) -> Iterator[Metric]:
        standing = self.standing
        for name, help_, found in (
            ("waiting", "Jobs whose next stage this is, and which no worker has yet.",
             standing.waiting),
            ("running", "Jobs that a worker has at this stage.", standing.running),
        ):  # fmt: skip
            family = GaugeMetricFamily(f"stembox_jobs_{name}", help_, labels=["stage"])
            jobs: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
            for stage, count in found.items():
                jobs[kind_of(stage)] += count
            for stage, count in jobs.items():
                family.add_metric([stage], count)
            yield family
        age = 0.0 if standing.oldest is None else max(0.0, time.time() - standing.oldest)
        yield GaugeMetricFamily(
            "stembox_queue_oldest_age_seconds",
            "Age of the job that has waited longest to be begun or separated; 0: none waits.", age)
        yield GaugeMetricFamily(
            "stembox_webhooks_pending", "Webhook events that are still to arrive.",
            standing.deliveries)  # fmt: skip

    def _work(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "stembox_segments_total", "Segments that went through the models.",
            self._workers.segments)  # fmt: skip
        yield CounterMetricFamily(
            "stembox_forwards_total", "Forwards of the models: segments by forwards is the batch.",
            self._workers.forwards)  # fmt: skip

    def _pools(self) -> Iterator[Metric]:
        here = {worker.hello.worker for worker in self._workers.all()}
        up = GaugeMetricFamily(
            "stembox_worker_up", "1 while a worker is connected.", labels=["pool", "worker"])
        for pool, name in self._seats:
            up.add_metric([pool, name], name in here)
        yield up
        losses = CounterMetricFamily(
            "stembox_worker_restarts_total", "Workers that ended and were started anew.",
            labels=["pool", "reason"])  # fmt: skip
        for pool in dict.fromkeys(pool for pool, _ in self._seats):
            for reason in REASONS:
                losses.add_metric([pool, reason], self._workers.losses[pool, reason])
        yield losses

    def _memory(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily(
            "stembox_gpu_memory_bytes", "Memory of the card, whoever uses it.",
            labels=["device", "state"])  # fmt: skip
        models = GaugeMetricFamily(
            "stembox_model_info", "A model that is loaded, and what it computes in.",
            labels=["model", "precision", "device"])  # fmt: skip
        cards: dict[str, tuple[int, int]] = {}
        loaded: dict[tuple[str, str, str], None] = {}
        for worker in self._workers.all():
            report, device = worker.report, worker.hello.device
            if report.free or report.used:
                cards[device] = report.free, report.used
            for model in worker.hello.models:
                loaded[model.name, model.precision, device] = None
        for device, (free, used) in cards.items():
            memory.add_metric([device, "free"], free)
            memory.add_metric([device, "used"], used)
        for labels in loaded:
            models.add_metric(labels, 1)
        yield memory
        yield models

    def _disks(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(
            "stembox_disk_free_bytes", "Room that is left where these files go.", labels=["place"])
        size = GaugeMetricFamily(
            "stembox_disk_size_bytes", "All the room that there is.", labels=["place"])
        for place, folder in self._places.items():
            try:
                usage = shutil.disk_usage(folder)
            except OSError:  # the faster place is gone: jobs do without it, and so does this
                continue
            free.add_metric([place], usage.free)
            size.add_metric([place], usage.total)
        yield from (free, size)
