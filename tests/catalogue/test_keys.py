"""What a result's key depends on."""

import pytest
from msgspec import structs

from server.catalogue.keys import Recipe, commit_of, folder_of, model_digest, result_key
from server.catalogue.recipes import recipe_of
from server.config import Config
from server.engine import catalog
from server.errors import ModelError
from server.stems import FOUR

RECIPE = Recipe(model="m", digest="d", stems=("vocals",), format="WAV", samples="PCM_16",
                overlap=0.25)  # fmt: skip


@pytest.mark.parametrize("other", [
    {"digest": "e"}, {"stems": ("drums",)}, {"stems": ("vocals", "drums")}, {"format": "FLAC"},
    {"samples": "PCM_24"}, {"overlap": 0.1},
])  # fmt: skip
def test_all_that_changes_the_bytes_changes_the_key(other: dict[str, object]) -> None:
    assert result_key("c", structs.replace(RECIPE, **other)) != result_key("c", RECIPE)


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
    named = recipe_of(settings, "BEST", ("vocals",), "WAV", catalog.find("tiny", settings))
    assert (named.model, named.stems, named.digest) == ("tiny", ("vocals",), recipe.digest)
    models = structs.replace(settings.models, balanced=["missing"])
    with pytest.raises(ModelError, match="missing"):
        recipe_of(structs.replace(settings, models=models), "BALANCED", FOUR, "FLAC")
