"""What the database has committed, as figures: jobs, stages, credits, deliveries."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from server.jobs.outcomes import OUTCOMES, outcome_of
from server.jobs.plan import kind_of
from server.sound import SAMPLE_RATE
from store import Happening

APIS: Final = ("pipeline", "stemsplit")
DELIVERIES: Final = ("delivered", "retried", "given_up")
CREDITS: Final = ("grant", "hold", "capture", "release", "refund")
JOB_SECONDS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)
STAGE_SECONDS: Final = (0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 3600)


class HappeningFigures:
    """Counters and histograms of what was committed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._finished = Counter(
            "stembox_jobs_finished_total",
            "Jobs that ended: completed; failed, by this server's fault; refused, by the song's, "
            "its source's or the account's; cancelled; expired, before they had begun.",
            ("api", "outcome"), registry=registry)  # fmt: skip
        self._queued = Histogram(
            "stembox_job_queue_seconds", "From a job's posting until its separation began.",
            buckets=JOB_SECONDS, registry=registry)  # fmt: skip
        self._lasted = Histogram(
            "stembox_job_duration_seconds", "From a job's posting to its completion.",
            buckets=JOB_SECONDS, registry=registry)  # fmt: skip
        self._stages = Histogram(
            "stembox_stage_duration_seconds",
            "From a stage's first start to its completion, further attempts included.",
            ("stage", "model"), buckets=STAGE_SECONDS, registry=registry)  # fmt: skip
        self._audio = Counter(
            "stembox_audio_seconds_total",
            "Seconds of audio that were separated: the rate is the real-time factor.",
            ("model",), registry=registry)  # fmt: skip
        self._deliveries = Counter(
            "stembox_webhook_deliveries_total",
            "Webhook events that arrived, or were given up; and attempts that are retried.",
            ("outcome",), registry=registry)  # fmt: skip
        self._credits = Counter(
            "stembox_credit_seconds_total", "Seconds booked in the ledger.",
            ("kind",), registry=registry)  # fmt: skip
        self._begin()

    def _begin(self) -> None:
        """At zero: a first event is then a rise, and alerts see it."""
        for api in APIS:
            for outcome in OUTCOMES:
                self._finished.labels(api, outcome)
        for outcome in DELIVERIES:
            self._deliveries.labels(outcome)
        for kind in CREDITS:
            self._credits.labels(kind)

    def count(self, happenings: Iterable[Happening]) -> None:
        """Counts each once. A clock that was set back makes no time negative."""
        for happening in happenings:
            self._count(happening, max(0.0, happening.seconds))

    def _count(self, happening: Happening, seconds: float) -> None:
        match happening.what:
            case "start":
                self._queued.observe(seconds)
            case "stage":
                self._stages.labels(kind_of(happening.name), happening.detail).observe(seconds)
                if happening.frames:
                    self._audio.labels(happening.detail).inc(happening.frames / SAMPLE_RATE)
            case "credits":
                self._credits.labels(happening.name).inc(seconds)
            case "delivery":
                self._deliveries.labels(happening.name).inc()
            case state:
                outcome = outcome_of(state, happening.detail)
                self._finished.labels(happening.name, outcome).inc()
                if outcome == "completed":
                    self._lasted.observe(seconds)
