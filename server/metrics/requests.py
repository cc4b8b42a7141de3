"""HTTP requests as figures. Every label has few values: what strangers send makes no new series."""

from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
OTHER: Final = "other"
SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120)


class _Series(NamedTuple):
    """Where the requests of one kind are counted."""

    requests: Counter
    seconds: Histogram
    received: Counter
    sent: Counter


class RequestFigures:
    """Requests by route, method and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "stembox_http_requests_total", "HTTP requests that were answered, or hung up (499).",
            ("route", "method", "status"), registry=registry)  # fmt: skip
        self._seconds = Histogram(
            "stembox_http_request_duration_seconds",
            "From a request's head to the last byte of its answer, bodies included.",
            ("route", "method"), buckets=SECONDS, registry=registry)  # fmt: skip
        self._received = Counter(
            "stembox_http_request_bytes_total", "Bytes of request bodies: uploads, above all.",
            ("route",), registry=registry)  # fmt: skip
        self._sent = Counter(
            "stembox_http_response_bytes_total", "Bytes of answers' bodies: downloads, above all.",
            ("route",), registry=registry)  # fmt: skip
        self._known: dict[tuple[str, str, int], _Series] = {}

    def answered(
        self, route: str, method: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Counts one request. route: as it was declared, never as it was called."""
        method = method if method in METHODS else OTHER
        key = (route, method, status)
        series = self._known.get(key) or self._begin(key)
        series.requests.inc()
        series.seconds.observe(seconds)
        if received:
            series.received.inc(received)
        if sent:
            series.sent.inc(sent)

    def _begin(self, key: tuple[str, str, int]) -> _Series:
        route, method, status = key
        made = self._known[key] = _Series(
            self._requests.labels(route, method, str(status)), self._seconds.labels(route, method),
            self._received.labels(route), self._sent.labels(route),
        )  # fmt: skip
        return made
