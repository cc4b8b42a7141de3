"""The host: the loop of a worker process."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.work import channel
from server.work.board import Board
from server.work.channel import Channel, pack
from server.work.confinement import Confinement
from server.work.messages import Hello
from server.work.pools import Host, SocketLoop, StopSignal


def host(path: Path, served: list[Any]) -> Any:
    """What the loop is given by its process."""
    work = SimpleNamespace(
        hello=lambda name, pid: Hello("test", name, pid, "cpu", 1), serve=served.append
    )
    channel = Channel(path)
    channel.listen()
    return SimpleNamespace(channel=channel, worker_name="test-0", work=work,
                           board=Board({"test": 1}), seat=0, confined=Confinement())


def test_a_worker_outlives_an_api_process_that_dies_before_the_hello(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    api = host(tmp_path / "s", served)
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.connect(str(tmp_path / "s"))

    def pack_late(message: Any) -> bytes:
        caller.close()  # the worker is connected by now: its peer is gone
        return pack(message)

    monkeypatch.setattr(channel, "pack", pack_late)
    SocketLoop().run(api)
    assert served == []
    assert api.board.sign(0) is None, "nobody has heard of it"


def test_a_worker_is_there_for_one_api_process_after_the_other(tmp_path: Path) -> None:
    """Also for those that called while it was still at the last one's, and are gone by now."""
    served: list[Any] = []
    api = host(tmp_path / "s", served)
    callers = []
    for _ in range(3):
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        caller.connect(str(tmp_path / "s"))
        callers.append(caller)
    callers[1].close()
    for _ in range(3):
        SocketLoop().run(api)
    assert len(served) == 2 and api.board.sign(0) is not None
    for caller in (callers[0], callers[2]):
        assert b"test-0" in caller.recv(4096)
        caller.close()


def test_only_this_user_can_call_a_worker(tmp_path: Path) -> None:
    host(tmp_path / "s", [])
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_what_ends_because_the_server_stops_is_no_death(tmp_path: Path) -> None:
    """The stop comes while the supervisor waits for deaths, and is what ends them."""
    stop = StopSignal()
    ended, ends = os.pipe()

    class Api:
        sentinel = ended

        def is_alive(self) -> bool:
            stop.set("SIGINT")
            os.write(ends, b"x")
            return True

    host = Host.__new__(Host)
    host._stop, host._api, host.inference_workers = stop, {0: Api()}, []
    host._look(SimpleNamespace(look=lambda *_: pytest.fail("told of a death")))  # type: ignore[arg-type]
    assert stop.is_set() and stop.cause == "SIGINT"
