"""The separation worker by itself: how it begins."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec
import pytest
import structlog
import torch
from msgspec import structs

from server.config import Config, load
from server.engine import worker as worker_module
from server.engine.chains import Chain
from server.engine.library.catalog import find
from server.engine.models import Separator
from server.engine.worker import Job, SeparationWorker, beating
from server.work.channel import HEADER, Channel, ChannelClosed, pack
from server.work.messages import Failed, FromWorker, Hello, Options, Progress, Task
from tests.engine.conftest import write_models


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    write_models(tmp_path / "models")
    flags = {"server.data_dir": str(tmp_path), "separation.max_batch": 16}
    return load(environ={}, flags=flags)


@pytest.mark.parametrize(("room", "batch"), [(64, 16), (5, 4), (1, 1)])
def test_a_device_too_small_for_the_largest_batch_gets_smaller_ones(
    room: int, batch: int, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warm_up(_: Separator, segments: int) -> float:
        if segments > room:
            raise torch.OutOfMemoryError("out of memory")
        return 0.5 * segments

    monkeypatch.setattr(Separator, "warm_up", warm_up)
    worker = SeparationWorker(config, "cpu")
    assert worker._engine.max_batch == batch
    assert worker.hello("separation-0", 1).step_s == 0.5 * batch


def test_no_room_for_one_segment_is_an_error(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warm_up(_: Separator, segments: int) -> float:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Separator, "warm_up", warm_up)
    with pytest.raises(torch.OutOfMemoryError):
        SeparationWorker(config, "cpu")


class Memory:
    """A card's, in segments, of which every model that is loaded takes some."""

    def __init__(self, room: int, takes: dict[str, int]) -> None:
        self.room, self.takes = room, takes
        self.worker: SeparationWorker | None = None
        self.tried: list[tuple[str, int]] = []

    def warm_up(self, model: Separator, segments: int) -> float:
        self.tried.append((model.name, segments))
        loaded = {model.name, *(self.worker._models if self.worker else ())}
        if segments * self.takes[model.name] + 4 * len(loaded) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return 0.1

    def begin(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> SeparationWorker:
        monkeypatch.setattr(Separator, "warm_up", lambda *given: self.warm_up(*given))
        self.worker = SeparationWorker(config, "cpu")
        self.worker.hello("separation-0", 1)
        return self.worker


def test_a_big_model_gets_smaller_batches_and_others_keep_theirs(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, channel = Memory(64, {"htdemucs": 1, "single": 1, "bag": 8}), cast(Channel, Spoken())
    worker = memory.begin(config, monkeypatch)
    engine = worker._engine
    engine.add(worker._song(chain(tmp_path / "a", "htdemucs"), channel))
    worker._song(chain(tmp_path / "b", "single"), channel)
    worker._song(chain(tmp_path / "c", "bag"), channel)
    assert [size for name, size in memory.tried if name == "bag"] == [16, 16, 8, 4]
    assert set(worker._models) == {"htdemucs", "bag"}, "first the idle one made room"
    assert (engine.most("bag"), engine.most("htdemucs"), engine.max_batch) == (4, 16, 16)
    told = cast(Spoken, channel).messages[-1]
    assert isinstance(told, Hello) and names(told) == {"htdemucs", "bag"}
    worker._models.forget(["bag"])
    assert engine.bounds == {}, "it is measured again when it comes back"


def test_a_model_that_has_no_room_at_all_is_forgotten(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, channel = Memory(64, {"htdemucs": 1, "single": 1, "bag": 99}), cast(Channel, Spoken())
    worker = memory.begin(config, monkeypatch)
    for attempt in ("a", "b"):
        memory.tried.clear()
        with pytest.raises(torch.OutOfMemoryError):
            worker._song(chain(tmp_path / attempt, "bag"), channel)
        assert ("bag", 1) in memory.tried, "the next one does not get it cold"
        told = cast(Spoken, channel).messages[-1]
        assert isinstance(told, Hello) and not told.models and not list(worker._models)
    worker._song(chain(tmp_path / "c", "htdemucs"), channel)
    assert worker._engine.max_batch == worker._engine.most("htdemucs") == 16


def test_a_model_whose_first_forward_fails_is_forgotten(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), cast(Channel, Spoken())

    def wrong(*_: object) -> float:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Separator, "warm_up", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        worker._song(chain(tmp_path / "a", "single"), channel)
    assert set(worker._models) == {"htdemucs"}


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


def test_a_model_that_takes_longer_is_told_of_before_it_would_pass_for_stalled(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"htdemucs": 0.5, "single": 9.0, "bag": 2.0}

    def warm_up(model: Separator, _: int) -> float:
        if model.name == "single":
            time.sleep(0.3)
        return paces[model.name]

    monkeypatch.setattr(Separator, "warm_up", warm_up)
    monkeypatch.setattr(worker_module, "BEAT_S", 0.05)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    assert worker.hello("separation-0", 1).step_s == 0.5
    worker._song(chain(tmp_path / "a", "htdemucs"), channel)  # type: ignore[arg-type]
    assert channel.messages == [], "it is there already"
    worker._song(chain(tmp_path / "b", "single"), channel)  # type: ignore[arg-type]
    *signs, hello = channel.messages
    assert signs and set(signs) == {Progress("single", 0.0)}, "signs of life until it is measured"
    assert isinstance(hello, Hello) and hello.step_s == 9.0
    channel.messages.clear()
    worker._song(chain(tmp_path / "c", "bag"), channel)  # type: ignore[arg-type]
    (again,) = [message for message in channel.messages if isinstance(message, Hello)]
    assert again.step_s == 9.0, "a faster one changes nothing"
    assert names(again) == {"htdemucs", "single", "bag"}


def test_signs_of_life_end_where_loading_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    beats: list[float] = []
    with beating(lambda: beats.append(time.monotonic()), 0.1):
        time.sleep(0.5)
    assert len(beats) > 0 and beats[-1] - beats[0] < 0.4


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Separator, "warm_up", lambda *_: 0.1)


def test_models_leave_for_others_and_come_back(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    few = structs.replace(config, separation=structs.replace(config.separation, max_models=2))
    worker, channel = SeparationWorker(few, "cpu"), Spoken()
    worker.hello("separation-0", 1)
    song = worker._song(chain(tmp_path / "a", "single"), channel)  # type: ignore[arg-type]
    worker._engine.add(song)
    worker._song(chain(tmp_path / "b", "bag"), channel)  # type: ignore[arg-type]
    assert set(worker._models) == {"htdemucs", "single", "bag"}, "a song goes through single"
    worker._engine.remove("single", ChannelClosed())
    worker._song(chain(tmp_path / "c", "hybrid"), channel)  # type: ignore[arg-type]
    assert set(worker._models) == {"htdemucs", "hybrid"}
    worker._song(chain(tmp_path / "d", "single"), channel)  # type: ignore[arg-type]
    assert set(worker._models) == {"htdemucs", "single"}
    hello = channel.messages[-1]
    assert isinstance(hello, Hello) and names(hello) == {"htdemucs", "single"}



def test_a_model_that_whoever_started_the_worker_has_hashed_stays_as_it_was(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu", ["htdemucs"]), cast(Channel, Spoken())
    found = find("htdemucs", config)
    assert found is not None
    old = worker._song(chain(tmp_path / "a", "htdemucs"), channel)
    os.utime(found.listing, (0, 0))
    assert worker._song(chain(tmp_path / "b", "htdemucs"), channel).model is old.model


def test_an_idle_model_leaves_while_the_worker_sleeps(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real socket: nothing comes in, and the model goes all the same."""
    quick(monkeypatch)
    brief = structs.replace(config.separation, model_idle_seconds=0.2)
    ours, theirs = socket.socketpair()
    channel = Channel(tmp_path / "nowhere")
    channel._socket = ours
    worker = SeparationWorker(structs.replace(config, separation=brief), "cpu")
    channel.greet(worker.hello("separation-0", 1))
    theirs.sendall(pack(task(tmp_path / "a", "single")))
    thread = threading.Thread(target=lambda: suppressed(worker, channel))
    thread.start()
    said = messages(theirs)
    told = next(m for m in said if isinstance(m, Hello) and "single" not in names(m))
    assert names(told) == {"htdemucs"} == set(worker._models)
    theirs.close()
    thread.join(20)
    assert not thread.is_alive()


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


def test_a_song_whose_files_went_with_its_job_is_no_error(
    config: Config, tmp_path: Path
) -> None:
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    levels: list[str] = []
    for name, error in (("j", FileNotFoundError(2, "gone", "/x")), ("k", RuntimeError("real"))):
        job = worker._jobs["htdemucs"] = Job(chain(tmp_path / name, "htdemucs"))
        song = worker._song(job.chain, cast(Channel, channel))
        with structlog.testing.capture_logs() as logs:
            worker._report(cast(Channel, channel), song, error)
        levels += [line["log_level"] for line in logs]
    assert levels == ["info", "error"] and not worker._jobs
    failed = [m.id for m in channel.messages if isinstance(m, Failed)]
    assert failed == ["htdemucs", "htdemucs"]


def test_a_device_that_broke_while_nothing_ran_ends_the_worker(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would else fail whatever comes, and look healthy."""
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    worker.hello("separation-0", 1)

    def broken(*_: object) -> None:
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(Chain, "start", broken)
    given = task(tmp_path / "a", "htdemucs")
    job = worker._jobs[given.id] = Job(Chain(given))
    worker._go_on(channel, job)  # type: ignore[arg-type]
    assert isinstance(channel.messages[-1], Failed), "a device in order: it is the song's fault"
    job = worker._jobs[given.id] = Job(Chain(given))
    monkeypatch.setattr(worker_module, "check_device", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        worker._go_on(channel, job)  # type: ignore[arg-type]


def test_idle_models_leave_for_a_song_that_finds_no_room(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    worker.hello("separation-0", 1)
    worker._song(chain(tmp_path / "a", "single"), channel)  # type: ignore[arg-type]
    start = Chain.start

    def sums(self: Chain, model: Separator) -> object:
        if "single" in worker._models:
            raise torch.OutOfMemoryError("out of memory")
        return start(self, model)

    monkeypatch.setattr(Chain, "start", sums)
    song = worker._song(chain(tmp_path / "b", "htdemucs"), channel)  # type: ignore[arg-type]
    assert song.model.name == "htdemucs"
    assert names(cast(Hello, channel.messages[-1])) == {"htdemucs"}


def test_idle_models_leave_before_batches_are_halved(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), Spoken()
    worker._song(chain(tmp_path / "a", "single"), channel)  # type: ignore[arg-type]
    worker._engine.add(worker._song(chain(tmp_path / "b", "htdemucs"), channel))  # type: ignore[arg-type]
    call = Separator.__call__

    def forward(self: Separator, *given: object) -> torch.Tensor:
        if "single" in worker._models:
            raise torch.OutOfMemoryError("out of memory")
        return call(self, *given)

    monkeypatch.setattr(Separator, "__call__", forward)
    ends = [error for _ in range(3) for _, error in worker._engine.step()]
    assert ends == [None] and worker._engine.bounds == {}
    assert set(worker._models) == {"htdemucs"}
