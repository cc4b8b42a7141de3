"""Presets in the separation worker that do not come to their end: what is left of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.work.channel import ChannelClosed
from server.work.messages import Cancel, Failed, Progress, Result
from tests.engine.chaining import NAMES, Desk, made, separated, task
from tests.engine.chaining import config as config
from tests.engine.conftest import noise


def second_step(message: Any) -> bool:
    return isinstance(message, Progress) and message.done > 0.5


@pytest.mark.parametrize("when", [0.0, 0.4, 0.5, 0.8])
def test_a_cancel_in_any_step_leaves_the_mix_alone(
    when: float, config: Config, tmp_path: Path
) -> None:
    worker = SeparationWorker(config, "cpu")
    wanted = ["vocals", "instrumental", "drums", "backing"]
    order = task(tmp_path / "job", config, "karaoke", wanted, noise(4.0))
    other = task(tmp_path / "other", config, "masks", ["drums"], noise(1.0))
    desk = Desk(worker, order, other)

    def cancel(message: Any) -> None:
        if isinstance(message, Progress) and message.id == "job" and message.done >= when:
            desk.post(Cancel("job"))
            desk.heard = lambda message: None

    desk.heard = cancel
    desk.serve()
    ends = desk.ends()
    assert ends["job"].kind == "cancelled" and isinstance(ends["other"], Result)
    assert set(made(tmp_path / "job")) == {"mix"} and set(made(tmp_path / "other")) == {
        "mix",
        "drums",
    }
    assert worker._engine.idle and not worker._jobs


@pytest.mark.parametrize("broken", NAMES)
def test_a_failure_in_any_step_leaves_the_mix_alone(
    broken: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Separator.__call__

    def failing(model: Separator, *given: Any) -> torch.Tensor:
        if model.name == broken:
            raise RuntimeError("no")
        return forward(model, *given)

    monkeypatch.setattr(Separator, "__call__", failing)
    worker = SeparationWorker(config, "cpu")
    order = task(tmp_path / "job", config, "karaoke", ["vocals", "drums", "dry"], noise(3.0))
    healthy = task(tmp_path / "other", config, "htdemucs", ["drums"], noise(1.0))
    desk = Desk(worker, order, healthy)
    desk.serve()
    ends = desk.ends()
    assert isinstance(ends["job"], Failed) and ends["job"].kind == "internal"
    assert isinstance(ends["other"], Result)
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._jobs


def test_a_model_that_is_gone_fails_before_the_first_step(config: Config, tmp_path: Path) -> None:
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(1.0))
    for path in (config.data_dir / "models").glob("masks.yaml"):
        path.unlink()
    worker = SeparationWorker(config, "cpu")
    desk = Desk(worker, order)
    desk.serve()
    assert "model masks is not on this machine" in desk.ends()["job"].message
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._engine.forwards


def test_files_that_went_with_their_job_fail_it(config: Config, tmp_path: Path) -> None:
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(5.0))
    desk = Desk(SeparationWorker(config, "cpu"), order)

    def sweep(message: Any) -> None:
        if second_step(message):
            for path in (tmp_path / "job").iterdir():
                path.unlink()

    desk.heard = sweep
    desk.serve()
    assert isinstance(desk.ends()["job"], Failed) and made(tmp_path / "job") == {}


def test_what_a_dead_attempt_left_between_steps_goes(config: Config, tmp_path: Path) -> None:
    """Its tracks are heard until the next attempt has come as far."""
    order = task(tmp_path / "job", config, "karaoke", ["drums", "dry"], noise(2.0))
    for name in (".vocals.f32.1.part", ".lead.f32.1.part.1.part", "drums.f32.1.part"):
        (tmp_path / "job" / name).write_bytes(bytes(8))
    separated(config, order)
    assert {path.name for path in (tmp_path / "job").iterdir()} == {
        "mix.f32",
        "drums.f32",
        "dry.f32",
        "drums.f32.1.part",
    }


def test_the_worker_closes_in_mid_chain(config: Config, tmp_path: Path) -> None:
    worker = SeparationWorker(config, "cpu")
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(5.0))
    desk = Desk(worker, order)

    def close(message: Any) -> None:
        if second_step(message):
            raise ChannelClosed

    desk.heard = close
    desk.serve()
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._jobs


def test_reduced_precision_that_overflows_begins_its_step_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Separator.__call__

    def reduced(model: Separator, *given: Any) -> torch.Tensor:
        answer = forward(model, *given)
        return answer * torch.inf if model.reduced else answer

    order = task(tmp_path / "job", config, "karaoke", ["drums", "backing"], noise(3.0))
    plain = task(tmp_path / "plain", config, "karaoke", ["drums", "backing"], noise(3.0))
    separated(config, plain)
    monkeypatch.setattr(Separator, "__call__", reduced)
    worker = SeparationWorker(config, "cpu")
    worker._models.prepare("masks")
    worker._models["masks"].reduced = True
    desk = Desk(worker, order)
    desk.serve()
    assert isinstance(desk.ends()["job"], Result)
    told = [message.done for message in desk.said if isinstance(message, Progress)]
    assert told == sorted(told)
    expected = made(tmp_path / "plain")
    for stem, samples in made(tmp_path / "job").items():
        np.testing.assert_allclose(samples, expected[stem], atol=1e-6)
