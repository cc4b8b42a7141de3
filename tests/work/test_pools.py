"""The host: the loop of a worker process."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.work import channel
from server.work.board import Board
from server.work.channel import pack
from server.work.confinement import Confinement
from server.work.messages import Hello
from server.work.pools import SocketLoop


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
    api: Any = SimpleNamespace(socket=tmp_path / "s", worker_name="test-0", work=work,
                               board=Board({"test": 1}), seat=0, confined=Confinement())
    SocketLoop().run(api)
    assert served == []
