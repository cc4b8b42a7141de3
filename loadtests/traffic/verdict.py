"""What a run showed, as a table and as JSON, and whether it kept to its thresholds. Pure."""

from typing import Any

from msgspec import Struct

from loadtests.traffic.profile import Thresholds


class Route(Struct, frozen=True):
    """One route's answers; times in milliseconds."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float


class Resources(Struct, frozen=True):
    """What the server's processes took; None of a server that is not on this machine. Growth is
    that of the last third over the middle third."""

    core_seconds: dict[str, float]
    peak_memory_mb: float
    memory_growth_mb: float
    peak_handles: int
    handles_growth: float
    peak_data_mb: float
    database_mb: float


class Verdict(Struct, frozen=True):
    """One run."""

    profile: str
    seconds: float
    load_average: float
    routes: list[Route]
    errors: dict[str, int]
    jobs: dict[str, int]
    jobs_a_minute: float
    audio_seconds_a_second: float
    core_seconds_an_audio_minute: float | None
    deepest_queue: int
    oldest_waiting_s: float
    longest_wait_s: float
    webhooks: dict[str, int]
    bad_clients: dict[str, int]
    crashes: int  # of our own users and hooks: what they were to do was not done
    resources: Resources | None
    most_users: int | None = None


def broken(verdict: Verdict, wanted: Thresholds) -> list[str]:
    """The thresholds that a run did not keep to, each as a sentence."""
    requests = sum(route.requests for route in verdict.routes)
    failures = sum(route.failures for route in verdict.routes)
    jobs, hooks = verdict.jobs, verdict.webhooks
    limits: list[tuple[str, float, float]] = [
        ("share of failures", failures / max(1, requests), wanted.failed_share),
        ("jobs that did not complete",
         sum(jobs.get(name, 0) for name in ("failed", "gone", "given up")), wanted.jobs_failed),
        ("webhooks that could not be verified", hooks.get("unverified", 0),
         wanted.webhooks_unverified),
        ("webhooks that did not come", hooks.get("missing", 0), wanted.webhooks_missing),
        ("seconds that a job waited", max(verdict.longest_wait_s, verdict.oldest_waiting_s),
         wanted.longest_wait_s),
        ("crashes of the load test itself", verdict.crashes, 0),
    ]  # fmt: skip
    if verdict.resources is not None:
        limits += [
            ("MB that memory grew", verdict.resources.memory_growth_mb, wanted.memory_growth_mb),
            ("handles more", verdict.resources.handles_growth, wanted.handles_growth),
        ]
    found = {route.name: route for route in verdict.routes}
    for share, names in (("p50_ms", wanted.p50_ms), ("p99_ms", wanted.p99_ms)):
        for name, limit in names.items():
            if name in found:
                limits.append((f"{share} of {name}", getattr(found[name], share), limit))
    sentences = [f"{what}: {value:g}, at most {limit:g}"
                 for what, value, limit in limits if value > limit]  # fmt: skip
    if verdict.jobs_a_minute < wanted.least_jobs_a_minute:
        sentences.append(f"jobs a minute: {verdict.jobs_a_minute:g}, "
                         f"at least {wanted.least_jobs_a_minute:g}")  # fmt: skip
    return sentences


def table(verdict: Verdict, broken_ones: list[str]) -> str:
    """For people."""
    lines = [f"{'route':<44}{'requests':>9}{'failed':>8}"
             f"{'p50 ms':>9}{'p95':>9}{'p99':>9}{'most':>9}"]  # fmt: skip
    for route in sorted(verdict.routes, key=lambda route: route.name):
        lines.append(f"{route.name:<44}{route.requests:>9}{route.failures:>8}{route.p50_ms:>9.0f}"
                     f"{route.p95_ms:>9.0f}{route.p99_ms:>9.0f}{route.most_ms:>9.0f}")  # fmt: skip
    lines += ["", *(f"{name:<34}{value}" for name, value in _figures(verdict))]
    lines += ["", *(f"NOT KEPT  {sentence}" for sentence in broken_ones)]
    lines.append("all thresholds kept" if not broken_ones else "")
    return "\n".join(lines).rstrip()


def _figures(verdict: Verdict) -> list[tuple[str, Any]]:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"

    rows: list[tuple[str, Any]] = [
        ("profile", f"{verdict.profile}, {verdict.seconds:.0f} s"),
        ("load of the machine, 5 min", f"{verdict.load_average:.1f}"),
        ("jobs", counted(verdict.jobs)),
        ("jobs completed a minute", f"{verdict.jobs_a_minute:.1f}"),
        ("seconds of audio a second", f"{verdict.audio_seconds_a_second:.2f}"),
        ("deepest queue, oldest in it", f"{verdict.deepest_queue} jobs, "
                                        f"{verdict.oldest_waiting_s:.1f} s"),
        ("longest wait to begin", f"{verdict.longest_wait_s:.1f} s"),
        ("webhooks", counted(verdict.webhooks)),
        ("bad clients", counted(verdict.bad_clients)),
        ("errors and refusals", counted(verdict.errors)),
    ]  # fmt: skip
    if verdict.most_users is not None:
        rows.append(("most users that were borne", verdict.most_users))
    if (taken := verdict.resources) is not None:
        cores = ", ".join(f"{kind} {seconds:.0f}" for kind, seconds in taken.core_seconds.items())
        rows += [
            ("core-seconds", cores),
            ("core-seconds a minute of audio", f"{verdict.core_seconds_an_audio_minute or 0:.1f}"),
            ("memory, peak and growth", f"{taken.peak_memory_mb:.0f} MB, "
                                        f"{taken.memory_growth_mb:+.0f} MB"),
            ("handles, peak and growth", f"{taken.peak_handles}, {taken.handles_growth:+.0f}"),
            ("data directory, peak; database", f"{taken.peak_data_mb:.0f} MB, "
                                               f"{taken.database_mb:.1f} MB"),
        ]  # fmt: skip
    return rows
