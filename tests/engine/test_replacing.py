"""A model whose files are replaced under a running worker by what cannot be loaded."""

import os
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import structlog

from server.config import Config
from server.engine.library import pins
from server.engine.library.catalog import ModelFiles, find
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.starter.store import save_hub_model
from server.work.channel import Channel
from tests.engine.conftest import tiny
from tests.engine.speaking import Spoken, chain, quick
from tests.engine.speaking import config as config


class Running(NamedTuple):
    """A worker, whom it tells, and the files of its `htdemucs`."""

    worker: SeparationWorker
    channel: Channel
    found: ModelFiles


@pytest.fixture
def running(config: Config, monkeypatch: pytest.MonkeyPatch) -> Running:
    quick(monkeypatch)
    found = find("htdemucs", config)
    assert found is not None
    return Running(SeparationWorker(config, "cpu"), cast(Channel, Spoken()), found)


def test_a_model_whose_new_files_cannot_be_loaded_goes_on(running: Running, tmp_path: Path) -> None:
    """While somebody copies them, say."""
    worker, channel, found = running
    weights = found.files[0]
    whole, pinned = weights.read_bytes(), pins.path_of(found.folder, "htdemucs")
    folders = iter(range(100))

    def separator() -> Separator:
        return worker._song(chain(tmp_path / str(next(folders)), "htdemucs"), channel).model

    old = separator()
    for mistake in (whole[:1000], whole.replace(b'"klass"', b'"glass"', 1)):
        weights.write_bytes(mistake)
        with structlog.testing.capture_logs() as logs:
            assert [separator() for _ in range(3)] == [old] * 3
        assert [line["log_level"] for line in logs] == ["warning"], "said once"
        assert "htdemucs cannot be loaded" in logs[0]["error"]
    weights.write_bytes(whole[:-1])
    assert separator() is old, "as if there were none"
    weights.write_bytes(whole)
    pinned.write_text('{"revision": "b", "sha256": {}}')
    assert separator() is old, "they are not yet those that were pulled"
    pinned.unlink()
    new = separator()
    assert new is not old and separator() is new and set(worker._models) == {"htdemucs"}


def test_a_model_of_another_rate_does_not_follow(running: Running, tmp_path: Path) -> None:
    worker, channel, found = running
    old = worker._song(chain(tmp_path / "a", "htdemucs"), channel).model
    save_hub_model(tiny(10, samplerate=22050), found.folder, found.files[0].stem)
    assert worker._song(chain(tmp_path / "b", "htdemucs"), channel).model is old


def test_a_model_that_is_replaced_is_loaded_anew(running: Running, tmp_path: Path) -> None:
    worker, channel, found = running
    old = worker._song(chain(tmp_path / "a", "htdemucs"), channel)
    worker._engine.add(old)
    assert worker._song(chain(tmp_path / "b", "htdemucs"), channel).model is old.model
    os.utime(found.listing, (0, 0))
    new = worker._song(chain(tmp_path / "c", "htdemucs"), channel)
    assert new.model is not old.model, "also the one that stays"
    assert worker._song(chain(tmp_path / "d", "htdemucs"), channel).model is new.model
    found.listing.unlink()
    assert worker._song(chain(tmp_path / "e", "htdemucs"), channel).model is new.model
    while not worker._engine.idle:
        assert [error for _, error in worker._engine.step()] == [None], "who began goes on"
