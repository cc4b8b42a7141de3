"""The host: the loop of a worker process."""

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.work import channel
from server.work.board import Board
from server.work.channel import Channel, pack
from server.work.confinement import Confinement
from server.work.messages import Hello
from server.work.pools import PoolPlan, SocketLoop
from server.work.supervisor import OUTLIVED


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
    api: Any = SimpleNamespace(channel=Channel(tmp_path / "s"), worker_name="test-0", work=work,
                               board=Board({"test": 1}), seat=0, confined=Confinement(),
                               plan=PoolPlan("test", "", ()))  # fmt: skip
    SocketLoop().run(api)
    assert served == []


CONFINED = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from server.work.board import Board
from server.work.channel import Channel
from server.work.confinement import Confinement, Rights
from server.work.messages import Hello
from server.work.pools import PoolPlan, SocketLoop
channel = Channel(Path(sys.argv[1]))
channel.connect()
rights = Rights(Path("/x"), (), (), 0, 0, False)
SocketLoop().run(SimpleNamespace(
    channel=channel, worker_name="test-0", board=Board({"test": 1}), seat=0,
    confined=Confinement(), plan=PoolPlan("test", "", (), rights),
    work=SimpleNamespace(hello=lambda name, pid: Hello("test", name, pid, "cpu", 1),
                         serve=lambda channel: channel.receive())))
"""


def test_a_confined_worker_looks_for_no_other_api_process(tmp_path: Path) -> None:
    """It could not; and its end tells the supervisor so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        process = subprocess.Popen([sys.executable, "-c", CONFINED, str(tmp_path / "s")])
        peer, _ = listener.accept()
        assert b"test-0" in peer.recv(4096)
        assert process.poll() is None
        peer.close()
        assert process.wait(60) == OUTLIVED
