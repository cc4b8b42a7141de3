"""The separation worker by itself: how it begins."""

from pathlib import Path

import pytest
import torch

from server.config import Config, load
from server.engine import worker as worker_module
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
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
