"""The filter of system calls, run by a machine of its own, for every processor."""

from collections.abc import Callable

import pytest

from server.work import seccomp


def check(program: list[bytes], number: int, *arguments: int, audit: int) -> int:
    """Runs a filter as the kernel would; what it returns."""
    import struct

    memory = struct.pack("<IIQ6Q", number, audit, 0, *(*arguments, *[0] * 6)[:6])
    place = value = 0
    while True:
        code, if_true, if_false, constant = struct.unpack("HBBI", program[place])
        place += 1
        if code == seccomp.RETURN:
            return constant
        if code == seccomp.LOAD:
            (value,) = struct.unpack_from("<I", memory, constant)
            continue
        tests: dict[int, Callable[[], bool]] = {
            seccomp.JUMP_EQUAL: lambda v=value, c=constant: v == c,
            seccomp.JUMP_ABOVE: lambda v=value, c=constant: v >= c,
            seccomp.JUMP_SET: lambda v=value, c=constant: bool(v & c),
        }
        place += if_true if tests[code]() else if_false


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_of_every_machine(machine: str) -> None:
    calls = seccomp.MACHINES[machine]
    program = seccomp.filter_for(calls, own=77)

    def allowed(number: int, *arguments: int, audit: int = calls.audit) -> bool:
        return check(program, number, *arguments, audit=audit) == seccomp.ALLOW

    assert allowed(calls.clone, 0x3D0F00) and not allowed(calls.clone, 17)
    assert not allowed(seccomp.CLONE3)
    for number in calls.signals:
        assert allowed(number, 77) and not allowed(number, 78) and not allowed(number, 0xFFFFFFFF)
    for number in (*calls.forbidden, *seccomp.EVERYWHERE):
        assert not allowed(number)
    assert not allowed(0, audit=calls.audit ^ 1), "another architecture's calls"
    assert not allowed(seccomp.OTHER_ABI | 0)
    assert all(allowed(n) for n in range(20) if n not in calls.forbidden)
