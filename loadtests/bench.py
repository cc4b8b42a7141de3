"""`make bench`: each figure beside what others use for the same work, in the same run.

Prints a table and writes `loadtests/bench.json`. Absolute times drift on shared machines; the
ratio of two interleaved measurements is what counts.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

OUT = Path(__file__).with_name("bench.json")
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
    import numpy as np

    noise = float(np.sum((np.asarray(truth, np.float64) - made) ** 2))
    return float(10 * np.log10(float(np.sum(np.asarray(truth, np.float64) ** 2)) / (noise + 1e-20)))


def row(name: str, ours_s: float, theirs_s: float, **more: Any) -> Row:
    """One result as the benchmark file holds it."""
    return {"name": name, "ours_s": round(ours_s, 4), "theirs_s": round(theirs_s, 4),
            "ratio": round(theirs_s / ours_s, 2), **more}


def machine() -> Row:
    """What the figures were taken on."""
    import torch

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                platform.processor())
    return {
        "cpu": name, "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
        "torch": torch.__version__, "gpu": torch.cuda.get_device_name()
        if torch.cuda.is_available() else None, "date": time.strftime("%Y-%m-%d"),
    }


def run() -> int:
    """All benchmarks; returns the exit code."""
    from loadtests import hpss_bench, separate_bench, song_bench

    results: list[Row] = []
    with tqdm([hpss_bench.run, separate_bench.run, song_bench.run], unit="benchmark") as bar:
        for benchmark in bar:
            bar.set_postfix_str(benchmark.__module__)
            results += benchmark()
    described = machine()
    print(f"{described['cpu']}, {described['cores']} cores, torch {described['torch']}")
    print(f"{'name':<28} {'ours s':>9} {'theirs s':>9} {'ratio':>7} {'SNR dB':>7}")
    for result in results:
        print(f"{result['name']:<28} {result.get('ours_s', ''):>9} {result.get('theirs_s', ''):>9} "
              f"{result.get('ratio', ''):>7} {result.get('snr_db', ''):>7}")
        for stage, seconds in result.get("stages", {}).items():
            print(f"  {stage:<26} {seconds:>9}")
    _write({"machine": described, "results": results})
    return 0


def _write(found: Row) -> None:
    with tempfile.NamedTemporaryFile("w", dir=OUT.parent, delete=False) as file:
        json.dump(found, file, indent=1)
    os.replace(file.name, OUT)


if __name__ == "__main__":
    sys.exit(run())
