"""What stations take of machines."""

import pytest

from server.catalogue.shapes import of_cores, stations
from server.errors import StemboxError


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


def test_every_card_is_a_station_with_its_part_of_the_cores() -> None:
    found = stations([node(CPU=16, GPU=2), node(CPU=8, GPU=1), node(CPU=64)], "auto")
    assert [(shape.gpus, shape.cpus, shape.helper_cpus, shape.helpers) for shape in found] == [
        (1, 1.0, 7.0, 7)] * 3  # fmt: skip
    assert found[0].bundles == [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 7.0}]


@pytest.mark.parametrize("cores", [1, 2, 3, 7, 16, 96])
def test_a_station_on_cores_takes_all_of_a_machine_and_no_more(cores: int) -> None:
    shape = of_cores(cores)
    assert shape.cpus + shape.helper_cpus == cores
    assert 0 < shape.helpers * shape.each_cpus <= shape.helper_cpus
    assert (shape.threads, shape.gpus) == (cores, 0)


def test_machines_without_cards_serve_where_none_has_one_or_none_is_wanted() -> None:
    machines = [node(CPU=4), node(CPU=2), node(CPU=0), node(), node(False, CPU=9)]
    assert [shape.threads for shape in stations(machines, "auto")] == [4, 2]
    assert [shape.threads for shape in stations([node(CPU=8, GPU=1)], "cpu")] == [8]


def test_more_stations_than_room_wait_for_machines() -> None:
    assert [s.threads for s in stations([node(CPU=4), node(CPU=2)], "auto", 5)] == [4, 2, 4, 2, 4]
    assert len(stations([node(CPU=4), node(CPU=2)], "auto", 1)) == 1


@pytest.mark.parametrize(("machine", "device", "why"), [
    (node(CPU=8), "cuda", "card"), (node(CPU=0), "auto", "core"),
    (node(False, CPU=8, GPU=1), "auto", "core"),
])  # fmt: skip
def test_no_room_is_an_error(machine: dict[str, object], device: str, why: str) -> None:
    with pytest.raises(StemboxError, match=why):
        stations([machine], device)
