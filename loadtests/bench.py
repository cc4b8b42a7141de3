"""`make bench`: each figure beside what others use for the same work, in the same run.

Prints a table and writes `loadtests/bench.json`. Absolute times drift on shared machines; the
ratio of two interleaved measurements is what counts.
"""

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from loadtests import api_bench, engine_bench, hpss_bench, separate_bench, song_bench
from loadtests.compare import Row

OUT = Path(__file__).with_name("bench.json")
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
    if not engine_bench.TRAINED.is_dir() or not os.access(OUT.parent, os.W_OK):
        print("stembox: bench runs from a clone that may be written to (`make bench`)",
              file=sys.stderr)  # fmt: skip
        return 1
    results: list[Row] = []
    benchmarks = [
        hpss_bench.run, separate_bench.run, engine_bench.run, song_bench.run, api_bench.run,
    ]
    with tqdm(benchmarks, unit="benchmark") as bar:
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
