"""What a result's key depends on."""

from pathlib import Path

import pytest
import yaml
from msgspec import structs

from server.catalogue.keys import Recipe, commit_of, folder_of, model_digest, result_key
from server.catalogue.recipes import recipe_of
from server.config import Config, load
from server.engine.families import family
from server.engine.library import choice
from server.errors import ModelError
from server.presets import Preset, Step
from server.stems import FOUR
from tests.engine.families.conftest import content

RECIPE = Recipe(model="m", digest="d", stems=("vocals",), format="WAV", samples="PCM_16",
                overlap=0.25)  # fmt: skip


@pytest.mark.parametrize("other", [
    {"digest": "e"}, {"stems": ("drums",)}, {"stems": ("vocals", "drums")}, {"format": "FLAC"},
    {"samples": "PCM_24"}, {"overlap": 0.1},
])  # fmt: skip
def test_all_that_changes_the_bytes_changes_the_key(other: dict[str, object]) -> None:
    assert result_key("c", structs.replace(RECIPE, **other)) != result_key("c", RECIPE)


def test_the_precision_counts_where_it_is_not_the_usual_one() -> None:
    """Results that were made before it did keep their keys."""
    assert result_key("c", structs.replace(RECIPE, precision="float32")) != result_key("c", RECIPE)
    assert RECIPE.options == '{"format":"WAV","overlap":0.25,"samples":"PCM_16","stems":["vocals"]}'
    assert result_key("c", RECIPE) == (
        "a7dc0a67b20359e8fdb796f28e07c5f0e25c7b5402e68fde1924c060f636ce06")


def test_content_counts_and_the_models_name_does_not() -> None:
    assert result_key("c", RECIPE) == result_key("c", structs.replace(RECIPE, model="n"))
    assert result_key("c", RECIPE) != result_key("x", RECIPE)
    key = result_key("c", RECIPE)
    assert len(key) == 64
    assert commit_of(key) == f"{folder_of(key)}/result.json" == f"songs/{key[:2]}/{key}/result.json"


def test_a_models_digest_is_that_of_its_files_in_order() -> None:
    assert model_digest(["a", "b"]) != model_digest(["b", "a"])


def test_a_recipe_is_what_is_on_this_machine(settings: Config) -> None:
    recipe = recipe_of(settings, "BALANCED", FOUR, "FLAC")
    assert (recipe.model, recipe.samples, recipe.overlap) == ("tiny", "PCM_16", 0.25)
    weights = settings.data_dir / "models" / "tiny" / "tiny.yaml"
    text = weights.read_text()
    weights.write_text(f"{text}\n# another file\n")
    assert recipe_of(settings, "BALANCED", FOUR, "FLAC").digest != recipe.digest
    weights.write_text(text)
    named = recipe_of(settings, "BEST", ("vocals",), "WAV", choice.find("tiny", settings))
    assert (named.model, named.stems, named.digest) == ("tiny", ("vocals",), recipe.digest)
    models = structs.replace(settings.models, balanced=["missing"])
    with pytest.raises(ModelError, match="missing"):
        recipe_of(structs.replace(settings, models=models), "BALANCED", FOUR, "FLAC")


def test_the_settings_precision_is_the_recipes(settings: Config) -> None:
    separation = structs.replace(settings.separation, precision="float32")
    exact = recipe_of(structs.replace(settings, separation=separation), "BALANCED", FOUR, "FLAC")
    usual = recipe_of(settings, "BALANCED", FOUR, "FLAC")
    assert (usual.precision, exact.precision) == ("auto", "float32")


@pytest.mark.parametrize(("asked", "made"), [
    (("vocals", "drums"), ("drums", "vocals")), (("drums", "vocals"), ("drums", "vocals")),
    (tuple(reversed(FOUR)), FOUR), (("instrumental", "vocals"), ("vocals", "instrumental")),
    (("instrumental", "drums", "bass"), ("drums", "bass", "instrumental")),
])  # fmt: skip
def test_the_same_stems_in_any_order_are_the_same(
    asked: tuple[str, ...], made: tuple[str, ...], settings: Config
) -> None:
    """Those of an output type in its own order, which its results' keys are of."""
    assert recipe_of(settings, "BALANCED", asked, "FLAC").stems == made


def test_a_preset_is_its_models_and_what_is_made_of_them(settings: Config) -> None:
    def made(weights: list[float], *wanted: str) -> Recipe:
        mean = Preset(steps=[Step(model=["tiny", "starter"], weights=weights)])
        config = structs.replace(settings, presets={"mean": mean})
        return recipe_of(config, "BALANCED", wanted, "FLAC", choice.find("mean", config))

    recipe = made([1, 1], "vocals")
    assert recipe.model == "mean"
    assert [step.model for step in recipe.inferences] == ["tiny", "starter"]
    parts = [recipe_of(settings, "BALANCED", ("vocals",), "FLAC", choice.find(name, settings))
             for name in ("tiny", "starter")]
    assert recipe.digest not in {part.digest for part in parts}
    keys = {result_key("c", each) for each in (
        recipe, made([1, 2], "vocals"), made([1, 1], "drums"), *parts)}
    assert len(keys) == 5
    assert result_key("c", made([2, 2], "vocals")) == result_key("c", recipe)
    assert "inferences" not in parts[0].options, "a model's results keep their keys"


def test_a_model_by_the_convention_has_the_overlap_that_the_server_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listing is another file, and it was published with an overlap of its own."""
    monkeypatch.setattr(family, "find_spec", lambda _: True)  # its package need not be here
    settings = load(environ={}, flags={
        "server.data_dir": str(tmp_path), "models.balanced": ["kim", "starter"],
        "models.fast": ["kim"]})  # fmt: skip
    folder = tmp_path / "models" / "kim"
    folder.mkdir(parents=True)
    said = content("mel_band_roformer", instruments=list(FOUR))
    said["model"]["num_stems"], said["inference"]["num_overlap"] = 4, 4
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    (folder / "model.ckpt").write_bytes(b"weights")
    recipe = recipe_of(settings, "BALANCED", FOUR, "FLAC")
    assert (recipe.model, recipe.overlap) == ("kim", 0.75)
    fast = recipe_of(settings, "FAST", FOUR, "FLAC")
    assert (fast.digest, fast.overlap) == (recipe.digest, settings.models.overlap_fast)
    (folder / "config.yaml").write_text(yaml.safe_dump(said | {"licence": "MIT"}))
    assert recipe_of(settings, "BALANCED", FOUR, "FLAC").digest != recipe.digest
