"""A model whose files are replaced under a running worker by what cannot be loaded."""

from pathlib import Path
from typing import cast

import pytest
import structlog

from server.config import Config
from server.engine.library import pins
from server.engine.library.catalog import find
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.starter.store import save_hub_model
from server.work.channel import Channel
from tests.engine.conftest import tiny
from tests.engine.test_worker import Spoken, chain, quick
from tests.engine.test_worker import config as config


def test_a_model_whose_new_files_cannot_be_loaded_goes_on(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody copies them, say."""
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), cast(Channel, Spoken())
    found = find("htdemucs", config)
    assert found is not None
    weights = found.files[0]
    whole, pinned = weights.read_bytes(), pins.path_of(found.folder, "htdemucs")
    folders = iter(range(100))

    def separator() -> Separator:
        return worker._song(chain(tmp_path / str(next(folders)), "htdemucs"), channel).model

    old = separator()
    for size, mistake in ((1000, whole[:1000]), (len(whole) - 1, whole[:-1])):
        weights.write_bytes(mistake)
        with structlog.testing.capture_logs() as logs:
            assert [separator() for _ in range(3)] == [old] * 3, size
        assert [line["log_level"] for line in logs] == ["warning"], "said once"
        assert "htdemucs cannot be loaded" in logs[0]["error"]
    weights.write_bytes(whole)
    pinned.write_text('{"revision": "b", "sha256": {}}')
    assert separator() is old, "they are not yet those that were pulled"
    pinned.unlink()
    new = separator()
    assert new is not old and separator() is new and set(worker._models) == {"htdemucs"}


def test_a_model_of_another_rate_does_not_follow(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    worker, channel = SeparationWorker(config, "cpu"), cast(Channel, Spoken())
    found = find("htdemucs", config)
    assert found is not None
    old = worker._song(chain(tmp_path / "a", "htdemucs"), channel).model
    save_hub_model(tiny(10, samplerate=22050), found.folder, found.files[0].stem)
    assert worker._song(chain(tmp_path / "b", "htdemucs"), channel).model is old
