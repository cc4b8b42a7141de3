"""What a station takes of a machine: a card, or all cores. Pure: no Ray.

Ray places by these numbers and holds nobody to them: on a CPU the model computes on all cores of
its share, and the helpers' short tasks run between.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from server.errors import StemboxError

HELPERS_SHARE: Final = 0.25  # of a CPU station's cores, as Ray counts
GRAIN: Final = 10_000  # Ray counts in ten-thousandths


class Shape(Struct, frozen=True):
    """A station's needs: for the model, and for its helpers together.

    threads: of the model on a CPU, 0 on a card. helpers: tasks of audio at once.
    """

    cpus: float
    helper_cpus: float
    gpus: int
    threads: int
    helpers: int

    @property
    def bundles(self) -> list[dict[str, float]]:
        """What Ray is to find on one machine: the model's, and the helpers'."""
        first = {"CPU": self.cpus} | ({"GPU": float(self.gpus)} if self.gpus else {})
        return [first, {"CPU": self.helper_cpus}]

    @property
    def each_cpus(self) -> float:
        """What one helper task takes."""
        return math.floor(self.helper_cpus / self.helpers * GRAIN) / GRAIN


def stations(nodes: Iterable[Mapping[str, Any]], device: str, wanted: int = 0) -> list[Shape]:
    """One shape for each station.

    Args:
        nodes: Ray's, each with its `Alive` and `Resources`.
        device: `separation.device`. With "auto" cards are used where any machine has one.
        wanted: how many; 0: as many as there is room for now. More than that wait until machines
            come, which is what Ray's autoscaler brings them for.

    Raises:
        StemboxError: there is room for none.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    cards = [shape for machine in machines for shape in _of_cards(machine)]
    found = cards if device.startswith("cuda") or (device == "auto" and cards) else [
        of_cores(machine["CPU"]) for machine in machines if machine.get("CPU", 0) > 0
    ]  # fmt: skip
    if not found:
        raise StemboxError("Ray has no machine with a card" if device.startswith("cuda") else
                           "Ray has no machine with a core to spare")
    return [found[place % len(found)] for place in range(wanted or len(found))]


def of_cores(cores: float) -> Shape:
    """A station on a machine's cores."""
    helpers = _grain(cores * HELPERS_SHARE)
    count = max(2, round(cores * HELPERS_SHARE))
    return Shape(_grain(cores - helpers), helpers, 0, max(1, int(cores)), count)


def _of_cards(machine: Mapping[str, float]) -> list[Shape]:
    cards = int(machine.get("GPU", 0))
    if not cards:
        return []
    cores = machine.get("CPU", 0) / cards
    own = min(1.0, _grain(cores / 2))
    rest = _grain(cores - own)
    return [Shape(own, rest, 1, 0, max(1, int(rest)))] * cards


def _grain(cores: float) -> float:
    return math.floor(cores * GRAIN) / GRAIN
