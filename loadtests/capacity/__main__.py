"""`python -m loadtests.capacity measure | page | predict | confirm`: what one box bears.

`measure` keeps what each stage costs here in measured.json; `page` writes CAPACITY.md of it;
`predict` says how long jobs will wait at so many a minute; `confirm` posts the same jobs to a
server of its own and sets what happened beside it.
"""

import argparse
import os
import sys
from pathlib import Path

from loadtests.capacity import confirming, costs, page, simulation
from server.config import SPIN_COUNT

LENGTHS, WEIGHTS = (30.0, 45.0, 60.0, 120.0), (6.0, 4.0, 2.0, 0.5)  # those of `make load`
PAGE = Path(__file__).parent.parent / "CAPACITY.md"


def main() -> int:
    """One of the four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure", "page", "predict", "confirm"))
    parser.add_argument("--jobs-a-minute", type=float, default=4.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=float, help="that there are for it; default: all")
    parser.add_argument("--shared", action="store_true",
                        help="others use this machine: predict with the cores that it really had")
    asked = parser.parse_args()
    if asked.what == "measure":
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT  # as the server has it; torch reads it once
        from loadtests.capacity import measuring

        costs.save(measuring.measure())
        return 0
    measured = costs.load()
    if asked.what == "page":
        PAGE.write_text(page.write(measured), encoding="utf-8")
        return 0
    arrivals = simulation.poisson(
        costs.kinds()[0], asked.jobs_a_minute, LENGTHS, WEIGHTS, asked.minutes, asked.seed,
        measured,
    )  # fmt: skip
    cores = asked.cores
    happened: list[simulation.Outcome] = []
    if asked.what == "confirm":
        happened, had = confirming.post_all(arrivals)
        print(f"cores that it had while there was work: {had:.2f}")
        cores = had if asked.shared else cores
    box = simulation.box_of(measured, cores)
    print(page.waits(simulation.simulate(arrivals, box), happened))
    return 0


if __name__ == "__main__":
    sys.exit(main())
