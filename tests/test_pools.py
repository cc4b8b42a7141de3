"""The host: how often what dies is started again, and the loop of a worker process."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server import channel
from server.channel import pack
from server.messages import Hello
from server.pools import LONGEST_PAUSE, SHORTEST_LIFE, Birth, SocketLoop


def test_what_dies_young_is_replaced_more_and_more_slowly() -> None:
    birth, now, pauses = Birth(), 100.0, []
    for _ in range(9):
        birth.died(now)
        pauses.append(birth.pause)
        now = birth.due + 1
        birth.born(now)
        assert birth.due is None
        now += 1
    assert pauses[0] == 0.0, "the first death is made good at once"
    assert pauses[1:4] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE


def test_what_lived_long_is_replaced_at_once() -> None:
    birth = Birth()
    birth.died(0.0)
    birth.born(1.0)
    birth.died(2.0)
    birth.born(3.0)
    birth.died(3.0 + SHORTEST_LIFE)
    assert birth.pause == 0.0


def test_a_worker_outlives_an_api_process_that_dies_before_the_hello(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def pack_late(message: Any) -> bytes:
        listener.close()  # the worker is connected by now: its peer is gone
        return pack(message)

    monkeypatch.setattr(channel, "pack", pack_late)
    served: list[Any] = []
    work = SimpleNamespace(
        hello=lambda name, pid: Hello("test", name, pid, "cpu", 1), serve=served.append
    )
    api: Any = SimpleNamespace(socket=tmp_path / "s", worker_name="test-0", work=work)
    SocketLoop().run(api)
    assert served == []
