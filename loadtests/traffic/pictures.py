"""The pictures of a run: answer times and jobs over time, throughput by load, busy cores."""

from pathlib import Path
from typing import Any

from loadtests.traffic.site import Site
from loadtests.traffic.timeline import BUCKET, percentile
from loadtests.traffic.watch import Sample, utilisation

POLLS = ("GET /api/v1/jobs/{id}", "GET /job/{id}", "GET /job/{id}/window")


def draw(site: Site, users: list[tuple[float, int]], samples: list[Sample], path: Path) -> None:
    """Writes all four as one PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(2, 2, figsize=(13, 8), layout="constrained")
    _latency(places[0][0], site)
    _queue(places[0][1], site, users)
    _throughput(places[1][0], site, users)
    _cores(places[1][1], samples)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _latency(place: Any, site: Site) -> None:
    for route in POLLS:
        for share, style in ((0.5, "-"), (0.99, "--")):
            points = site.timeline.series(route, share)
            if points:
                place.plot(*zip(*points, strict=True), style, label=f"{route} p{100 * share:g}")
    place.set(title="Answer times", xlabel="s", ylabel="ms", yscale="log")
    place.legend(fontsize=7)


def _queue(place: Any, site: Site, users: list[tuple[float, int]]) -> None:
    times = [at for at, _ in site.queues]
    place.plot(times, [queue.unfinished for _, queue in site.queues], label="jobs unfinished")
    place.plot(times, [queue.waiting for _, queue in site.queues], label="jobs that wait")
    place.plot(times, [queue.oldest_s for _, queue in site.queues], label="age of the oldest, s")
    place.plot([at for at, _ in users], [count for _, count in users], ":", label="users")
    place.set(title="Jobs under way", xlabel="s")
    place.legend(fontsize=7)


def _throughput(place: Any, site: Site, users: list[tuple[float, int]]) -> None:
    """A point for each bucket of time."""
    loads, rates, slowest = [], [], []
    for bucket, routes in sorted(site.timeline.buckets.items()):
        near = [count for at, count in users if at <= (bucket + 1) * BUCKET]
        loads.append(near[-1] if near else 0)
        rates.append(sum(found.total() for found in routes.values()) / BUCKET)
        polls = [percentile(routes[name], 0.99) for name in POLLS if name in routes]
        slowest.append(max(polls, default=0.0))
    marks = place.scatter(loads, rates, c=slowest, cmap="viridis")
    place.figure.colorbar(marks, ax=place, label="p99 of polls, ms")
    place.set(title="Throughput by load", xlabel="users", ylabel="requests a second")


def _cores(place: Any, samples: list[Sample]) -> None:
    for kind, points in sorted(utilisation(samples).items()):
        place.plot(*zip(*points, strict=True), label=kind)
    place.set(title="Cores kept busy, by pool", xlabel="s", ylabel="cores")
    if samples:
        place.legend(fontsize=7)
