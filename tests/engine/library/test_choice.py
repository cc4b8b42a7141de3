"""Presets among the models: which are whole, which serve, which are refused and why."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from msgspec import structs

from server.commands.models import list_models
from server.config import Config, load
from server.engine.families import family as family_module
from server.engine.library import choice
from server.errors import ConfigError, InvalidRequest, ModelError
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import tiny
from tests.engine.families.conftest import content
from tests.engine.library.test_catalog import by_convention

VOICES = """steps = [{ model = ["mine", "starter"], stems = ["vocals", "instrumental"] },
                     { input = "vocals", model = "mine", stems = { lead = "vocals" } }]
            stems = ["vocals", "instrumental", "lead"]"""
MANY = ["drums", "bass", "other", "vocals"]


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    """Settings with presets by name, and a model `mine`."""
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    save_hub_model(tiny(0), folder, "abcd")
    save_bag(folder, "mine", ["abcd"])

    def made(more: dict[str, str] | None = None, **presets: str) -> Config:
        told = {f"STEMBOX_PRESETS__{name.upper()}": text for name, text in presets.items()}
        return load(environ=told | (more or {}), flags={"server.data_dir": str(tmp_path)})

    return made


def test_a_preset_is_listed_with_its_parts(settings: Any) -> None:
    config = settings(voices=VOICES)
    found = {one.name: one for one in choice.installed(config)}
    assert list(found) == ["mine", "starter", "starter_fast", "voices"], "presets come last"
    voices = found["voices"]
    assert voices.stems == ("vocals", "instrumental", "lead") and voices.family == "preset"
    assert voices.size == found["mine"].size + found["starter"].size
    assert voices.licence is None, "of mine it is not known"
    alone = settings(two="steps = [{ model = ['starter', 'starter_fast'] }]")
    assert choice.resolve("two", alone).licence == "MIT"
    choice.check(config)
    assert choice.refused(config) == []


def test_what_it_runs(settings: Any) -> None:
    config = settings(voices=VOICES)
    found = choice.making(["lead"], "FAST", config)
    assert found.name == "voices", "nothing else makes it"
    work = choice.work(found, ["lead"], "FAST", config)
    assert (work.model, work.overlap) == ("voices", 0.1)
    assert [(step.model, step.overlap) for step in work.inferences] == [
        ("mine", 0.1),
        ("starter", 0.1),
        ("mine", 0.1),
    ]
    model = choice.resolve("mine", config)
    assert choice.work(model, MANY, "BEST", config) == ("mine", 0.25, ())
    assert choice.making([], "BEST", config, "voices") == found
    with pytest.raises(InvalidRequest, match="voices makes no drums"):
        choice.making(["drums"], "BEST", config, "voices")


def test_a_tier_names_one(settings: Any, tmp_path: Path) -> None:
    tier = {"STEMBOX_MODELS__BEST": "voices, starter"}
    config = settings(tier, voices=VOICES)
    assert choice.serving("BEST", config, ("vocals", "instrumental")).name == "voices"
    assert choice.serving("BEST", config).name == "starter", "it makes no drums"
    alone = settings({"STEMBOX_MODELS__BEST": "voices"}, voices=VOICES)
    with pytest.raises(ModelError, match="BEST is on this machine and makes drums, bass, other"):
        choice.serving("BEST", alone)
    (tmp_path / "models" / "mine" / "abcd.safetensors").unlink()
    assert choice.serving("BEST", config, ("vocals", "instrumental")).name == "starter"
    assert choice.refused(config) == [choice.Refused("voices", "model mine is not on this machine")]
    assert "voices" not in {one.name for one in choice.installed(config)}
    choice.check(config)
    with pytest.raises(InvalidRequest, match="'voices' is not on this server"):
        choice.making((), "BEST", config, "voices")
    all_four = "steps = [{ model = ['starter', 'starter_fast'] }]"
    config = settings({"STEMBOX_MODELS__BEST": "whole, starter"}, whole=all_four)
    assert choice.tiers(config)["best"] == {"wanted": "whole", "serving": "whole"}


def test_what_cannot_be_stops_the_start(settings: Any) -> None:
    with pytest.raises(ConfigError, match=r"presets.mine: a model has this name"):
        choice.check(settings(mine="steps = [{ model = 'starter' }]"))
    unknown = settings(odd="steps = [{ model = 'mine', stems = ['kazoo'] }]")
    with pytest.raises(ConfigError, match=r"presets.odd, step 1: model mine makes no kazoo"):
        choice.check(unknown)
    assert choice.find("odd", unknown) is None
    ((name, reason, folder),) = choice.refused(unknown)
    assert name == "odd" and "kazoo" in reason and folder is None


def test_a_model_that_came_later_does_not_take_a_presets_name(settings: Any) -> None:
    config = settings(mine="steps = [{ model = 'starter' }]")
    assert choice.resolve("mine", config).family == "preset"
    assert [one.family for one in choice.installed(config)] == ["starter", "starter", "preset"]
    assert [(one.name, one.reason) for one in choice.refused(config)] == [
        ("mine", "a preset has its name")
    ]


def test_a_model_that_cannot_be_used_is_no_part(settings: Any, tmp_path: Path) -> None:
    by_convention(tmp_path / "models" / "broken", family="nothing")
    config = settings(one="steps = [{ model = 'broken' }]", two="steps = [{ model = 'old' }]")
    with pytest.raises(ModelError, match=r"model broken is not used: .*its family is not known"):
        choice.resolve("one", config)
    torch.save({}, tmp_path / "models" / "old.th")
    (tmp_path / "models" / "old.yaml").write_text("models: ['old']")
    with pytest.raises(ModelError, match="pickled files"):
        choice.resolve("two", config)
    believing = structs.replace(config, models=structs.replace(config.models, allow_pickle=True))
    with pytest.raises(ModelError, match="what model old makes is not known until"):
        choice.resolve("two", believing)


def test_overlaps_are_each_models_own(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = content("mdx23c") | {"inference": {"num_overlap": 3}}
    by_convention(tmp_path / "models" / "voices", yaml.safe_dump(said))
    monkeypatch.setattr(family_module, "find_spec", lambda _: True)
    config = settings(
        deep="""steps = [{ model = "voices", stems = ["vocals"] },
                                       { input = "vocals", model = "mine", stems = ["other"] }]"""
    )
    inferences = choice.work(choice.resolve("deep", config), ["other"], "BEST", config).inferences
    assert [step.overlap for step in inferences] == [pytest.approx(2 / 3), 0.25]


def test_the_command_lists_them(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(
        {"STEMBOX_MODELS__FAST": "voices, starter_fast"},
        voices=VOICES,
        half="steps = [{ model = 'nowhere' }]",
    )
    assert list_models(None, config) == 0  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("voices ")]
    assert "preset" in line and "vocals, instrumental, lead" in line and "mine, starter" in line
    assert "half             not used: model nowhere is not on this machine" in lines
