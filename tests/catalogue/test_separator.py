"""The actor by itself, without Ray: which models it is for."""

import asyncio
from pathlib import Path

import pytest
import torch
from msgspec import structs

pytest.importorskip("pyarrow")

from server.catalogue.recipes import recipe_of
from server.catalogue.separator import Post, SeparationActor
from server.config import Config
from server.engine import worker as worker_module
from server.engine.library import choice
from server.presets import Preset, Step


@pytest.fixture
def voices(settings: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings whose tier BEST has nothing but a preset that makes no drums."""
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    steps = [Step(model="tiny", stems=["vocals"]),
             Step(model="starter_fast", input="vocals", stems={"lead": "vocals"})]  # fmt: skip
    models = structs.replace(settings.models, best=["voices"])
    presets = {"voices": Preset(steps=steps, stems=["vocals", "lead"])}
    return structs.replace(settings, models=models, presets=presets)


@pytest.mark.parametrize(("stems", "runs"), [
    (("vocals",), ["tiny"]), (("lead",), ["tiny", "starter_fast"]),
])  # fmt: skip
def test_it_has_what_its_songs_need(
    voices: Config, tmp_path: Path, stems: tuple[str, ...], runs: list[str]
) -> None:
    """And not what serves the pipeline, which nobody asked for here."""
    found = choice.making(stems, "BEST", voices, "voices")
    recipe = recipe_of(voices, "BEST", stems, "FLAC", found)
    actor = SeparationActor(
        Post(voices, recipe.model, recipe.digest, recipe.runs, 1, str(tmp_path / "songs"))
    )
    assert list(actor._worker._models) == runs
    assert torch.device(asyncio.run(actor.hello())).type == "cpu"
