"""Two ways to do the same work, side by side."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Row = dict[str, Any]


def side_by_side(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 5
) -> tuple[float, float]:
    """Median seconds of both, taken in turn after one warm-up each."""
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, taken in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            function()
            taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def snr_db(truth: Any, made: Any) -> float:
    """Signal to noise in dB of `made` against `truth` (arrays of one shape)."""
    noise = float(np.sum((np.asarray(truth, np.float64) - made) ** 2))
    return float(10 * np.log10(float(np.sum(np.asarray(truth, np.float64) ** 2)) / (noise + 1e-20)))


def row(name: str, ours_s: float, theirs_s: float, **more: Any) -> Row:
    """One result as the benchmark file holds it."""
    return {"name": name, "ours_s": round(ours_s, 4), "theirs_s": round(theirs_s, 4),
            "ratio": round(theirs_s / ours_s, 2), **more}
