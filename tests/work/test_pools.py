"""The host: how often what dies is started again, and the loop of a worker process."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.work import channel
from server.work.channel import pack
from server.work.messages import Hello
from server.work.pools import LONGEST_PAUSE, SHORTEST_LIFE, RestartBackoff, SocketLoop


def test_what_dies_young_is_replaced_more_and_more_slowly() -> None:
    backoff, now, pauses = RestartBackoff(), 100.0, []
    for _ in range(9):
        backoff.died(now)
        pauses.append(backoff.pause)
        now = backoff.due + 1
        backoff.started(now)
        assert backoff.due is None
        now += 1
    assert pauses[0] == 0.0, "the first death is made good at once"
    assert pauses[1:4] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE


def test_what_lived_long_is_replaced_at_once() -> None:
    backoff = RestartBackoff()
    backoff.died(0.0)
    backoff.started(1.0)
    backoff.died(2.0)
    backoff.started(3.0)
    backoff.died(3.0 + SHORTEST_LIFE)
    assert backoff.pause == 0.0


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
