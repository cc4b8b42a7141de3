"""The actor by itself, without Ray: which models it is for, and where it does not begin."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from msgspec import structs

pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

from server.catalogue import storage
from server.catalogue.orders import Failure
from server.catalogue.recipes import recipe_of
from server.catalogue.separator import Post, SeparationActor
from server.config import Config
from server.engine import worker as worker_module
from server.engine.library import choice
from server.errors import ModelError
from server.presets import Preset, Step
from server.work.messages import Failed, Task
from tests.catalogue.test_audio_tasks import order


@pytest.fixture
def voices(settings: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings whose tier BEST has nothing but a preset that makes no drums."""
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    steps = [Step(model="tiny", stems=["vocals"]),
             Step(model="starter_fast", input="vocals", stems={"lead": "vocals"})]  # fmt: skip
    models = structs.replace(settings.models, best=["voices"])
    presets = {"voices": Preset(steps=steps, stems=["vocals", "lead"])}
    return structs.replace(settings, models=models, presets=presets)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """What the driver shows in its output."""
    with storage.marked(str(tmp_path / "out")) as place:
        yield place


def actor_of(voices: Config, stems: tuple[str, ...], folder: Path, mark: str) -> SeparationActor:
    found = choice.making(stems, "BEST", voices, "voices")
    recipe = recipe_of(voices, "BEST", stems, "FLAC", found)
    return SeparationActor(
        Post(voices, recipe.model, recipe.digest, recipe.runs, 1, str(folder / "songs"), mark)
    )


@pytest.mark.parametrize(("stems", "runs"), [
    (("vocals",), ["tiny"]), (("lead",), ["tiny", "starter_fast"]),
])  # fmt: skip
def test_it_has_what_its_songs_need(
    voices: Config, mark: str, tmp_path: Path, stems: tuple[str, ...], runs: list[str]
) -> None:
    """And not what serves the pipeline, which nobody asked for here."""
    actor = actor_of(voices, stems, tmp_path, mark)
    assert torch.device(asyncio.run(actor.hello())).type == "cpu"
    assert list(actor._worker._models) == runs


def test_where_output_is_another_folder_it_does_not_begin(
    voices: Config, mark: str, tmp_path: Path
) -> None:
    actor = actor_of(voices, ("vocals",), tmp_path, mark.replace("/out/", "/another/"))
    with pytest.raises(ModelError, match="OUTPUT of the driver is not on this machine"):
        asyncio.run(actor.hello())


@pytest.mark.parametrize(("kind", "told"), [
    ("no_room", Failure("station", "{}/scratch: why")), ("too_long", Failure("input", "why")),
    ("internal", Failure("internal", "why")),
])  # fmt: skip
def test_whose_fault_a_failure_is(
    voices: Config, mark: str, tmp_path: Path, kind: Any, told: Failure
) -> None:
    async def ask(task: Task) -> Failed:
        return Failed(task.id, kind, "why")

    actor = actor_of(voices, ("vocals",), tmp_path, mark)
    actor._mailbox = cast(Any, SimpleNamespace(ask=ask))
    answer = asyncio.run(actor.separate(order("/a.wav", tmp_path)))
    assert answer == structs.replace(told, reason=told.reason.format(tmp_path))
