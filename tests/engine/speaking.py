"""Tasks of small models for a separation worker, and what it says of them."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from server.config import Config, load
from server.engine import worker as worker_module
from server.engine.chains import Chain
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.work.channel import HEADER, Channel, ChannelClosed
from server.work.messages import FromWorker, Hello, Options, Task
from tests.engine.conftest import write_models


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    write_models(tmp_path / "models")
    flags = {"server.data_dir": str(tmp_path), "separation.max_batch": 16}
    return load(environ={}, flags=flags)


class Spoken:
    """A channel that keeps what is said."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def send(self, message: object) -> None:
        self.messages.append(message)


def names(hello: Hello) -> set[str]:
    """The models that a worker says it has."""
    return {model.name for model in hello.models}


def chain(folder: Path, model: str) -> Chain:
    return Chain(task(folder, model))


def task(folder: Path, model: str) -> Task:
    folder.mkdir()
    (folder / "mix.f32").write_bytes(b"\0" * 8)
    options = Options(file_name="x", model=model, overlap=0.25, wav_format="PCM_16",
                      target_lufs=-14, true_peak_dbtp=-1, max_seconds=60)
    return Task(id=model, job="j", stage="separate", source="", scratch=str(folder), outputs="",
                options=options)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Separator, "warm_up", lambda *_: 0.1)


def suppressed(worker: SeparationWorker, channel: Channel) -> None:
    with suppress(ChannelClosed):
        worker.serve(channel)


def messages(end: socket.socket) -> Iterator[FromWorker]:
    """What the worker says, in order; each is looked for only when it is asked for."""
    decoder = msgspec.msgpack.Decoder(FromWorker)
    loaded = False
    end.settimeout(60)
    while True:
        (length,) = HEADER.unpack(end.recv(HEADER.size, socket.MSG_WAITALL))
        message = decoder.decode(end.recv(length, socket.MSG_WAITALL))
        loaded = loaded or (isinstance(message, Hello) and "single" in names(message))
        if loaded:
            yield message
