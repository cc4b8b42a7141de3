"""A clock that jumps: what is a jump, and that no outputs go because of one."""

import json
import os
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from server.jobs import clock as module
from server.jobs.clock import Reading, jump_between
from tests.jobs.jumping import HOUR, KEPT, START, Machine
from tests.jobs.jumping import play as play


async def begin(machine: Machine) -> None:
    await machine.minute()
    await machine.job("old")
    await machine.minute()


@pytest.mark.parametrize("jump", [25 * HOUR, 50 * 365 * 24 * HOUR, -25 * HOUR])
def test_a_jump_removes_no_outputs(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        machine.passes(30)
        machine.wall += jump
        for _ in range(3):
            await machine.minute()
            machine.passes(60)
        assert machine.kept() == {"old"}
        assert (await machine.jobs.get("old")).state == "completed"

    play(lambda m: begin_and(m, test))


@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR])
def test_what_was_there_goes_a_whole_retention_after_the_jump(play, jump: float) -> None:
    async def test(machine: Machine) -> None:
        machine.wall += jump
        await machine.minute()
        machine.passes(KEPT * HOUR - 10)
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.passes(max(0.0, -jump) + 20)
        await machine.minute()
        assert machine.kept() == set()

    play(lambda m: begin_and(m, test))


def test_a_jump_while_the_server_is_down_is_noticed(play) -> None:
    async def jumped(machine: Machine) -> None:
        machine.passes(5 * HOUR)
        machine.wall += 25 * HOUR
        await machine.minute()
        assert machine.kept() == {"old"}

    async def later(machine: Machine) -> None:
        machine.passes(HOUR)
        await machine.minute()
        assert machine.kept() == {"old"}, "a restart does not end the doubt"
        machine.passes(KEPT * HOUR)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, jumped, later)


def test_time_that_has_really_passed_counts(play) -> None:
    """Sleep of the machine included: the steady clock goes on in it."""
    async def test(machine: Machine) -> None:
        machine.passes(25 * HOUR)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, test)


def test_after_a_boot_the_clock_has_a_while_to_be_set(play) -> None:
    """A machine without a clock of its own begins somewhere, and is set a minute later."""
    async def booted(machine: Machine) -> None:
        machine.boot, machine.steady = "another", 20.0
        machine.wall += 1000 * HOUR
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.wall -= 999 * HOUR  # set
        machine.passes(60)
        await machine.minute()
        machine.passes(module.SETTLING)
        await machine.minute()
        assert machine.kept() == {"old"}

    play(begin, booted)


def test_after_a_boot_old_files_go_as_ever(play) -> None:
    async def booted(machine: Machine) -> None:
        machine.boot, machine.steady = "another", 20.0
        machine.wall += 48 * HOUR
        await machine.minute()
        machine.passes(module.SETTLING)
        await machine.minute()
        assert machine.kept() == set()

    play(begin, booted)


def test_a_doubt_ends_on_a_machine_that_is_switched_off_every_day(play) -> None:
    """The time that it was on adds up; how long it was off, nobody knows."""
    async def jumped(machine: Machine) -> None:
        machine.wall += 25 * HOUR
        await machine.minute()
        machine.passes(0.6 * KEPT * HOUR)
        await machine.minute()
        assert machine.kept() == {"old"}

    async def next_day(machine: Machine) -> None:
        machine.boot, machine.steady = "another", 20.0
        machine.wall += 8 * HOUR
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.passes(0.3 * KEPT * HOUR)
        await machine.minute()
        assert machine.kept() == {"old"}
        machine.passes(0.2 * KEPT * HOUR)
        await machine.minute()
        assert machine.kept() == set()

    play(lambda m: begin_and(m, jumped), next_day)


def test_what_is_no_jump() -> None:
    at = Reading("b", START, 100.0)
    assert jump_between(at, Reading("b", START + 69.0, 160.0)) == 0.0, "little"
    assert jump_between(at, Reading("b", START + 2 * 86400 + 80, 2 * 86400 + 100)) == 0.0, "slewed"
    assert jump_between(at, Reading("b", START + 90.0, 160.0)) == 30.0
    assert jump_between(at, Reading("c", START + 9e9, 3.0)) == 0.0, "nobody knows"
    assert jump_between(at, Reading("c", START - 99.0, 3.0)) == -99.0
    assert jump_between(Reading("", START, 9e9), Reading("", START + 5, 3.0)) == 0.0, "unnamed boot"


def test_the_real_clocks_agree() -> None:
    boot = module.machine_boot()
    a, b = module.read_clocks(boot), module.read_clocks(boot)
    assert jump_between(a, b) == 0.0 and b.steady >= a.steady > 0
    assert msgspec.json.decode(json.dumps(msgspec.to_builtins(a)), type=Reading) == a
    assert os.path.exists("/proc")


async def begin_and(machine: Machine, test: Callable[[Machine], Awaitable[None]]) -> None:
    await begin(machine)
    await test(machine)
