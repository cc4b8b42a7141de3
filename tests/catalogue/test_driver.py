"""What a run does where one of its stations cannot be started."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

pytest.importorskip("ray", reason="pip install 'stembox[catalogue]'")
from ray.exceptions import RayActorError

from server.catalogue.driver import Driver, Step
from server.errors import StemboxError


def station(number: int) -> Any:
    return SimpleNamespace(number=number, hello=lambda: f"hello {number}")


def driver_of(*stations: Any) -> Driver:
    made = cast(Any, Driver)(None, SimpleNamespace(), list(stations), None, None)
    made._steps = {one.hello(): Step(made._hello, one) for one in stations}
    return made


def fails(driver: Driver, one: Any) -> None:
    """The constructor of its actor raises."""
    driver._broken(driver._steps.pop(one.hello()), RayActorError())


def test_one_card_of_several_that_is_full_ends_no_run() -> None:
    first, second, third = stations = [station(number) for number in range(3)]
    driver = driver_of(*stations)
    with structlog.testing.capture_logs() as lines:
        fails(driver, first)
    assert [line["station"] for line in lines] == [0]
    driver._up.append(second)
    del driver._steps[second.hello()]
    fails(driver, third)
    assert driver._steps == {} and driver._up == [second]


def test_where_none_can_be_started_the_run_ends() -> None:
    first, second = stations = [station(number) for number in range(2)]
    driver = driver_of(*stations)
    fails(driver, first)
    with pytest.raises(StemboxError, match="The model cannot be started"):
        fails(driver, second)
