"""What each stage of a job costs, as it was measured; and what a whole song does. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from server.jobs.plan import PIPELINE, kind_of, split_plan
from server.stems import OUTPUTS
from store import StagePlan

FILE: Final = Path(__file__).with_name("measured.json")
SEPARATE: Final = "separate"


class Cost(Struct, frozen=True):
    """Core-seconds: `fixed` for each song, and `per_second` of it."""

    fixed: float
    per_second: float

    def of(self, seconds: float) -> float:
        """Of a song of that length."""
        return self.fixed + self.per_second * seconds


class Measured(Struct, frozen=True, kw_only=True):
    """One machine's costs by stage. `threads`: of a separation; `efficiency`: what share of as many
    cores they make use of together; `separations`: of each model;
    `load`: of the machine when it was measured; `posting`: what probes spend on a song before it is
    a job."""

    date: str
    machine: str
    cores: int
    load: float
    threads: float
    efficiency: float
    stages: dict[str, Cost]
    separations: dict[str, Cost]
    posting: float


class Kind(NamedTuple):
    """A kind of job: its stages, and the model that separates it."""

    name: str
    plan: Sequence[StagePlan]
    model: str


def kinds(model: str = "starter") -> tuple[Kind, ...]:
    """The kinds that the budget tells of."""
    stems = {name: split_plan(OUTPUTS[name], True) for name in ("BOTH", "FOUR_STEMS")}
    return (
        Kind("nine tracks", PIPELINE, model),
        Kind("BOTH as MP3", stems["BOTH"], model),
        Kind("FOUR_STEMS as MP3", stems["FOUR_STEMS"], model),
    )


def cost_of(stage: StagePlan, model: str, measured: Measured) -> Cost:
    """One stage's."""
    if stage.name == SEPARATE:
        return measured.separations[model]
    return measured.stages[kind_of(stage.name)]


def core_seconds(kind: Kind, seconds: float, measured: Measured) -> Mapping[str, float]:
    """Of a whole song, by pool; and for taking it in."""
    found = {"API": measured.posting}
    for stage in kind.plan:
        spent = cost_of(stage, kind.model, measured).of(seconds)
        found[stage.pool] = found.get(stage.pool, 0.0) + spent
    return found


def load(file: Path = FILE) -> Measured:
    """What was measured last."""
    return msgspec.json.decode(file.read_bytes(), type=Measured)


def save(measured: Measured, file: Path = FILE) -> None:
    """Keeps it for the page and the predictions."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
