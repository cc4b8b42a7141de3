"""A song that reduced precision cannot hold: what its model in float32 needs, and leaves."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine import worker as worker_module
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.work.messages import Progress, Result
from tests.engine.chaining import Desk, task
from tests.engine.chaining import config as config
from tests.engine.conftest import noise

STEMS = ["drums", "vocals"]


def at_level(seconds: float, level: float) -> np.ndarray:
    found = noise(seconds)
    return found / np.abs(found).max() * level


@pytest.fixture
def worker(config: Config, monkeypatch: pytest.MonkeyPatch) -> SeparationWorker:
    """Its model `single` passes for one of less precision, which loud songs overflow."""
    forward = Separator.__call__

    def reduced(model: Separator, mix: torch.Tensor, *given: Any) -> torch.Tensor:
        answer = forward(model, mix, *given)
        return answer * torch.inf if model.reduced and mix.abs().max() > 0.5 else answer

    monkeypatch.setattr(Separator, "__call__", reduced)
    made = SeparationWorker(config, "cpu")
    for name in ("single", "masks"):
        made._models.prepare(name)
    made._models["single"].reduced = True
    return made


def loading(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> None:
    """Has every model that is loaded from now on do this first."""
    begin = Separator.__init__

    def load(self: Separator, *given: Any) -> None:
        before()
        begin(self, *given)

    monkeypatch.setattr(Separator, "__init__", load)


def test_signs_of_life_while_it_is_loaded(
    worker: SeparationWorker, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.01)
    loads, told = threading.Event(), threading.Event()

    def wait() -> None:
        loads.set()
        assert told.wait(30)
        loads.clear()

    loading(monkeypatch, wait)
    desk = Desk(worker, task(tmp_path / "job", config, "single", STEMS, at_level(5.0, 0.9)))

    def heard(message: Any) -> None:
        if isinstance(message, Progress) and loads.is_set():
            told.set()

    desk.heard = heard
    desk.serve()
    assert told.is_set() and isinstance(desk.ends()["job"], Result)


def test_idle_models_leave_for_it(
    worker: SeparationWorker, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        if "masks" in worker._models:
            raise torch.OutOfMemoryError("out of memory")

    loading(monkeypatch, full)
    desk = Desk(worker, task(tmp_path / "job", config, "single", STEMS, at_level(5.0, 0.9)))
    desk.serve()
    assert isinstance(desk.ends()["job"], Result)


def test_its_batches_bound_no_others(
    worker: SeparationWorker, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Separator.__call__

    def small(model: Separator, mix: torch.Tensor, *given: Any) -> torch.Tensor:
        if not model.reduced and len(mix) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(model, mix, *given)

    monkeypatch.setattr(Separator, "__call__", small)
    before = worker._engine.most("single")
    desk = Desk(worker, task(tmp_path / "job", config, "single", STEMS, at_level(9.0, 0.9)))
    desk.serve()
    assert isinstance(desk.ends()["job"], Result)
    assert worker._engine.most("single") == before > worker._engine.most("single in float32") == 1
