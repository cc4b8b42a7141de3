"""The separation worker by itself: how it begins."""

import time
from pathlib import Path

import pytest
import torch

from server.config import Config, load
from server.engine import worker as worker_module
from server.engine.models import Separator
from server.engine.worker import SeparationWorker, beating
from server.work.messages import Hello, Options, Progress, Task
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


class Spoken:
    """A channel that keeps what is said."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def send(self, message: object) -> None:
        self.messages.append(message)


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
    worker._song(task(tmp_path / "a", "htdemucs"), channel)  # type: ignore[arg-type]
    assert channel.messages == [], "it is there already"
    worker._song(task(tmp_path / "b", "single"), channel)  # type: ignore[arg-type]
    *signs, hello = channel.messages
    assert signs and set(signs) == {Progress("single", 0.0)}, "signs of life until it is measured"
    assert isinstance(hello, Hello) and hello.step_s == 9.0
    channel.messages.clear()
    worker._song(task(tmp_path / "c", "bag"), channel)  # type: ignore[arg-type]
    assert not any(isinstance(message, Hello) for message in channel.messages)


def test_signs_of_life_end_where_loading_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    beats: list[float] = []
    with beating(lambda: beats.append(time.monotonic()), 0.1):
        time.sleep(0.5)
    assert len(beats) > 0 and beats[-1] - beats[0] < 0.4
