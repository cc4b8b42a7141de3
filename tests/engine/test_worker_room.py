"""The separation worker where room is short: smaller batches, and models that leave for others."""

from pathlib import Path
from typing import cast

import pytest
import torch
from msgspec import structs

from server.config import Config
from server.engine.chains import Chain
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.work.channel import Channel, ChannelClosed
from server.work.messages import Hello
from tests.engine.speaking import Spoken, chain, names, quick
from tests.engine.speaking import config as config


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
        # Beside them there are signs of life, where loading takes long.
        told = [one for one in cast(Spoken, channel).messages if isinstance(one, Hello)][-1]
        assert not told.models and not list(worker._models)
    worker._song(chain(tmp_path / "c", "htdemucs"), channel)
    assert worker._engine.max_batch == worker._engine.most("htdemucs") == 16


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
