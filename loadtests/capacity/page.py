"""The page that says what one box bears, and tables of waits. Pure: markdown from figures."""

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from loadtests.capacity.costs import Kind, Measured, core_seconds, kinds
from loadtests.capacity.simulation import Outcome, box_of, poisson, simulate

SONG: Final = 180.0  # seconds
BUSY: Final = 0.8  # beyond this share of its cores a box makes jobs wait long
CARD: Final = "NVIDIA H100 80GB"
CARD_TIMES: Final = 836.0  # real time, full-size HTDemucs, four songs at once: RESULTS.md
CARD_HOST_S: Final = 0.13  # core-seconds beside the card for a 3-minute song: RESULTS.md
POLLS: Final = 5800.0  # answers for a core-second: RESULTS.md
SHARES: Final = (0.3, 0.5, 0.7, 0.8, 0.9)


class Rate(NamedTuple):
    """Songs an hour on a box, and what is busy first."""

    songs: float
    first: str


def write(measured: Measured) -> str:
    """The whole page."""
    return "\n\n".join((_head(measured), _costs(measured), _rates(measured), _waits(measured),
                        _advice(measured))) + "\n"  # fmt: skip


def on_cores(kind: Kind, measured: Measured, cores: float, seconds: float = SONG) -> Rate:
    """Without a card."""
    spent = core_seconds(kind, seconds, measured)
    return Rate(3600 * BUSY * cores / sum(spent.values()), max(spent, key=lambda pool: spent[pool]))


def on_card(kind: Kind, measured: Measured, cores: float, cards: int) -> Rate:
    """With cards that separate by the full-size HTDemucs."""
    spent = core_seconds(kind, SONG, measured)
    host = sum(spent.values()) - spent["separation"] + CARD_HOST_S
    by_cores, by_card = 3600 * BUSY * cores / host, 3600 * BUSY * cards * CARD_TIMES / SONG
    return Rate(min(by_cores, by_card), "cores" if by_cores < by_card else "card")


def waits(predicted: Sequence[Outcome], happened: Sequence[Outcome] = ()) -> str:
    """A table of what was predicted, and of what happened where it was tried."""
    rows = ["| seconds | predicted | happened | ratio |", "|---|---|---|---|"]
    for name, of in (("until done", lambda outcome: outcome.lasted),
                     ("until begun", lambda outcome: outcome.waited)):  # fmt: skip
        for title, pick in (("mean", statistics.fmean), ("median", statistics.median),
                            ("p90", lambda values: sorted(values)[int(0.9 * len(values))])):
            thought = pick([of(outcome) for outcome in predicted])
            seen = pick([of(outcome) for outcome in happened]) if happened else None
            rows.append(f"| {name}, {title} | {thought:.1f} | "
                        + ("| |" if seen is None else
                           f"{seen:.1f} | {_ratio(thought, seen)} |"))  # fmt: skip
    return "\n".join(rows)


def _ratio(thought: float, seen: float) -> str:
    return f"{seen / thought:.2f}" if thought > 0.05 else ""


def _head(measured: Measured) -> str:
    return f"""# What one box bears

Written by `python -m loadtests.capacity page` from figures of {measured.date}, one thread of
{measured.machine} (`python -m loadtests.capacity measure`, load of the machine {measured.load:g});
those of the card are in [RESULTS.md](RESULTS.md). A song is one of 3 minutes. A box is taken as
full at {BUSY:.0%} of what is busy first: beyond that jobs wait long."""


def _costs(measured: Measured) -> str:
    rows = ["## What a song costs", "", "| core-seconds | audio | separation by the starter "
            "| taken in | in all |", "|---|---|---|---|---|"]  # fmt: skip
    for kind in kinds():
        spent = core_seconds(kind, SONG, measured)
        rows.append(f"| {kind.name} | {spent['audio']:.1f} | {spent['separation']:.1f} | "
                    f"{spent['API']:.2f} | {sum(spent.values()):.1f} |")  # fmt: skip
    return "\n".join(rows)


def _rates(measured: Measured) -> str:
    boxes = (("2 cores", 2, 0), ("16 cores", 16, 0), (f"16 cores, {CARD}", 16, 1),
             (f"64 cores, 2 {CARD}", 64, 2))  # fmt: skip
    rows = ["## Songs an hour", "", "With the starter on cores, with the full-size HTDemucs on "
            "a card; in brackets, what is busy first.", "",
            "| | " + " | ".join(name for name, _, _ in boxes) + " |",
            "|---|" + "---|" * len(boxes)]  # fmt: skip
    for kind in kinds():
        found = [on_card(kind, measured, cores, cards) if cards else on_cores(kind, measured, cores)
                 for _, cores, cards in boxes]  # fmt: skip
        rows.append(f"| {kind.name} | " + " | ".join(
            f"{rate.songs:,.0f} ({rate.first})" for rate in found) + " |")  # fmt: skip
    return "\n".join(rows)


def _waits(measured: Measured) -> str:
    """Simulated: of nine tracks each, Poisson arrivals, by how full the box is."""
    kind, box = kinds()[0], box_of(measured)
    full = 60 / (sum(core_seconds(kind, SONG, measured).values()) / measured.cores)
    rows = ["## How long a job takes", "", f"Of {SONG / 60:.0f}-minute songs that come at random, "
            f"nine tracks each, on these {measured.cores} cores; simulated (`python -m "
            "loadtests.capacity predict`).", "", "| cores busy | jobs a minute | mean | p90 |",
            "|---|---|---|---|"]  # fmt: skip
    for share in SHARES:
        arrivals = poisson(kind, share * full, (SONG,), (1.0,), 600 / full, 1, measured)
        lasted = sorted(outcome.lasted for outcome in simulate(arrivals, box))
        rows.append(f"| {share:.0%} | {share * full:.2f} | {statistics.fmean(lasted):.0f} s | "
                    f"{lasted[int(0.9 * len(lasted))]:.0f} s |")  # fmt: skip
    return "\n".join(rows)


def _advice(measured: Measured) -> str:
    spent = core_seconds(kinds()[0], SONG, measured)
    share = spent["separation"] / sum(spent.values())
    host = core_seconds(kinds()[2], SONG, measured)["audio"] + CARD_HOST_S
    feed = CARD_TIMES / SONG * host
    return f"""## What to buy next

- Without a card {share:.0%} of a nine-track song's cores go into the separation, and that by the
  starter; the full-size model costs several times as much. A card comes first.
- One {CARD} is kept busy by {feed:.0f} cores where each song becomes four MP3s. With fewer, more
  cores come first, then another card: each has a worker of its own.
- A poll takes {1e6 / POLLS:.0f} µs of the one API process: {POLLS:,.0f} a second fill its core. At
  a poll every two seconds that is {2 * POLLS:,.0f} jobs watched at once. Webhooks come before
  another box.
- Of a 3-minute song the disk holds 0.45 GB while it runs and 0.28 GB of nine WAVs for
  `jobs.retention_hours`. At 100 songs an hour, kept for a day, that is 0.7 TB.
- One box is not enough when its API process is full or its disk is; there is one of either.
  Accounts can be spread over several boxes, each with a database of its own."""
