"""The simulation against what queueing theory knows, and the page against its figures."""

import math
import random
import re
import statistics

import pytest

from loadtests.capacity.confirming import busy_seconds
from loadtests.capacity.costs import Cost, Measured, core_seconds, kinds
from loadtests.capacity.page import BUSY, on_card, on_cores, waits, write
from loadtests.capacity.simulation import Arrival, Box, Outcome, Work, poisson, simulate

COST = Cost(0.5, 0.01)
MEASURED = Measured(
    date="2026-01-01", machine="a machine", cores=2, load=0.0, threads=2.0, efficiency=0.75,
    posting=0.1, separations={"starter": Cost(0.0, 0.05)},
    stages=dict.fromkeys(("decode", "harmonic_percussive", "compose", "normalise", "encode_stems",
                          "encode", "describe"), COST),
)  # fmt: skip
ONE = Box(cores=1, audio_workers=1, threads=1)


def at_random(works: list[list[Work]], load: float, mean_s: float, seed: int) -> list[Arrival]:
    chance, at, found = random.Random(seed), 0.0, []
    for work in works:
        at += chance.expovariate(load / mean_s)
        found.append(Arrival(at, 60.0, work))
    return found


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_worker_and_equal_jobs_wait_as_pollaczek_and_khinchine_say(load: float) -> None:
    """M/D/1: due in the order of their coming, so first come, first served."""
    arrivals = at_random([[Work("decode", "audio", 2.0)]] * 8000, load, 2.0, 1)
    waited = statistics.fmean(outcome.waited for outcome in simulate(arrivals, ONE))
    assert waited == pytest.approx(2.0 * load / (2 * (1 - load)), rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_songs_that_share_a_separation_last_as_processor_sharing_says(load: float) -> None:
    """M/G/1-PS: whatever the lengths, the mean is that of one alone by what is left over."""
    chance = random.Random(2)
    works = [[Work("separate", "separation", chance.expovariate(1.0))] for _ in range(8000)]
    box = Box(cores=1, audio_workers=1, threads=1, nearest=0.0, slots=10_000)
    outcomes = simulate(at_random(works, load, 1.0, 3), box)
    lasted = statistics.fmean(outcome.lasted for outcome in outcomes)
    assert lasted == pytest.approx(1 / (1 - load), rel=0.12)


def test_what_is_nearest_its_end_comes_first_as_schrage_and_miller_say() -> None:
    """M/M/1 under the shortest remaining time first, all of it and not three parts of four."""
    load, works, chance = 0.7, [], random.Random(4)
    works = [[Work("separate", "separation", chance.expovariate(1.0))] for _ in range(20_000)]
    box = Box(cores=1, audio_workers=1, threads=1, nearest=1.0, slots=10_000)
    outcomes = simulate(at_random(works, load, 1.0, 5), box)
    step, expected, busy, moment, inside = 0.01, 0.0, 0.0, 0.0, 0.0
    for x in (step * (n + 0.5) for n in range(2000)):
        density = math.exp(-x)
        busy += load * x * density * step
        moment += load * x * x * density * step
        inside += step / (1 - busy)
        waiting = (moment + load * x * x * math.exp(-x)) / (2 * (1 - busy) ** 2)
        expected += density * step * (waiting + inside)
    lasted = statistics.fmean(outcome.lasted for outcome in outcomes)
    assert lasted == pytest.approx(expected, rel=0.08)


def test_stages_follow_each_other_and_late_ones_keep_nobody() -> None:
    work = [Work("decode", "audio", 1.0), Work("separate", "separation", 4.0, ("decode",)),
            Work("encode", "audio", 1.0, ("separate",)),
            Work("describe", "audio", 9.0, ("decode",), late=True)]  # fmt: skip
    (alone,) = simulate([Arrival(5.0, 60.0, work)], Box(cores=4, audio_workers=2, threads=2))
    assert alone == Outcome(0.0, pytest.approx(1 + 4 / 2 + 1))
    (crowded,) = simulate([Arrival(5.0, 60.0, work)], Box(cores=1, audio_workers=1, threads=2))
    assert crowded.lasted > alone.lasted


def test_a_clip_goes_ahead_of_a_long_song() -> None:
    long = Arrival(0.0, 3600.0, [Work("decode", "audio", 100.0)])
    clip = Arrival(10.0, 10.0, [Work("decode", "audio", 1.0)])
    first, second = simulate([long, clip], ONE)
    assert (first.waited, second.waited) == (0.0, 0.0)
    assert second.lasted == pytest.approx(1.0)
    assert first.lasted == pytest.approx(101.0)


def test_all_that_comes_is_done_and_no_core_does_more_than_it_can() -> None:
    kind = kinds()[1]
    arrivals = poisson(kind, 6.0, (30.0, 60.0), (2.0, 1.0), 20.0, 7, MEASURED)
    outcomes = simulate(arrivals, Box(cores=2, audio_workers=2, threads=2))
    assert len(outcomes) == len(arrivals) > 80
    end = max(a.at + o.lasted for a, o in zip(arrivals, outcomes, strict=True))
    needed = sum(w.core_s for a in arrivals for w in a.work if not w.late)
    assert end >= needed / 2
    for arrival, outcome in zip(arrivals, outcomes, strict=True):
        alone = simulate([arrival._replace(at=0.0)], Box(2, 2, 2))[0].lasted
        assert outcome.lasted >= alone - 1e-6
        assert 0 <= outcome.waited < outcome.lasted


def test_arrivals_are_as_many_as_asked_for() -> None:
    arrivals = poisson(kinds()[0], 10.0, (30.0,), (1.0,), 200.0, 1, MEASURED)
    assert len(arrivals) == pytest.approx(2000, rel=0.1)
    assert arrivals == poisson(kinds()[0], 10.0, (30.0,), (1.0,), 200.0, 1, MEASURED)


def test_a_song_costs_the_sum_of_its_stages() -> None:
    nine, both, _ = kinds()
    spent = core_seconds(nine, 100.0, MEASURED)
    assert spent == {"API": 0.1, "audio": pytest.approx(5 * 1.5), "separation": pytest.approx(5.0)}
    assert core_seconds(both, 100.0, MEASURED)["audio"] == pytest.approx(4 * 1.5)


def test_rates_follow_from_costs() -> None:
    nine = kinds()[0]
    total = sum(core_seconds(nine, 180.0, MEASURED).values())
    assert on_cores(nine, MEASURED, 4).songs == pytest.approx(3600 * BUSY * 4 / total)
    assert on_card(nine, MEASURED, 1, 1).first == "cores"
    assert on_card(nine, MEASURED, 10_000, 1).first == "card"


def test_the_page_tells_every_kind_and_the_tables_are_tables() -> None:
    page = write(MEASURED)
    assert all(f"| {kind.name} |" in page for kind in kinds())
    widths = {len(re.findall(r"\|", line)) for line in page.split("##")[2].splitlines()
              if line.startswith("|")}  # fmt: skip
    assert len(widths) == 1
    table = waits([Outcome(1.0, 2.0), Outcome(3.0, 4.0)], [Outcome(1.0, 3.0), Outcome(3.0, 6.0)])
    assert "| until done, mean | 3.0 | 4.5 | 1.50 |" in table


def test_times_that_overlap_count_once() -> None:
    assert busy_seconds([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.5)]) == 4.0
