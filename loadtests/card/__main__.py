"""`python -m loadtests.card --out FOLDER [--seconds 140]`: the whole visit, or one part of it.

`--device cpu --small` goes the same way with small models, to see that it would.
"""

import argparse
import sys
from pathlib import Path

from loadtests.card.parts import PARTS, Setting
from loadtests.card.visiting import Findings, Visit


def visit(out: Path, seconds: float, setting: Setting) -> None:
    """Everything: the engine's tests, the measurements, a server."""
    trip = Visit(out, seconds)
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-vv",
        "--tb=short",
        "-p",
        "no:cacheprovider",
    ]
    engine = ["--timeout=40", "--session-timeout=65", "tests/engine"]  # then it tells what failed
    trip.part("tests of the engine", [*pytest, *engine], 80)
    for name, (_, limit) in PARTS.items():
        command = [
            sys.executable,
            "-m",
            "loadtests.card",
            "--part",
            name,
            "--out",
            str(out),
            "--device",
            setting.device,
            *(["--small"] if setting.small else []),
        ]
        trip.part(name, command, limit)
    trip.part("a server", [*pytest, "tests/e2e/test_gpu.py"], 90)
    trip.table()


def main() -> None:
    """The whole visit, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=140, help="of the whole visit")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    setting = Setting(given.device, given.small)
    if given.part is None:
        visit(given.out, given.seconds, setting)
    else:
        PARTS[given.part][0](setting, Findings(given.result))


if __name__ == "__main__":
    main()
