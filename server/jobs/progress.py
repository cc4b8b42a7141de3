"""How far a job is, in percent, from its stages. Pure."""

from collections.abc import Mapping, Sequence

from store import Stage

# A stage's share of the whole; what is not listed counts as the least.
WEIGHTS = {"fetch": 3.0, "decode": 3.0, "separate": 80.0}
LEAST = 2.0


def percent(stages: Sequence[Stage], running: Mapping[str, float]) -> int:
    """0 to 99: a job is at 100 only when it is completed, and that is not told by its stages.

    running: how far running stages are, by name, 0 to 1. Late stages do not count.
    """
    counted = [stage for stage in stages if not stage.late]
    whole = sum(_weight(stage) for stage in counted)
    done = sum(
        _weight(stage) * (1.0 if stage.state == "completed" else running.get(stage.name, 0.0))
        for stage in counted
    )
    return min(99, int(100 * done / whole)) if whole else 0


def _weight(stage: Stage) -> float:
    return WEIGHTS.get(stage.name, LEAST)
