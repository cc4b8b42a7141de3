"""Recipes: which are understood, which refused."""

import pytest

from server.engine.library import catalog
from server.engine.loading import load_bag, load_members
from server.engine.recipes import Formed, recipe_of
from server.errors import ModelError
from server.starter.store import save_bag, save_hub_model
from server.stems import own_sources
from tests.engine.conftest import GAINS, STEMS, tiny, tiny_masks

PAIR = [tiny_masks(0), tiny_masks(1, ["vocals", "instrumental"])]


def test_without_gains_every_source_is_a_stem() -> None:
    assert recipe_of({"models": ["a"]}, PAIR[:1]) == own_sources(STEMS)


def test_with_gains_the_listing_says_which_stems_there_are() -> None:
    recipe = recipe_of({"gains": GAINS}, PAIR)
    assert list(recipe) == list(GAINS)
    assert recipe["vocals"] == (0, 0, 0, 0, 0.7, 0.3, 0)


@pytest.mark.parametrize("listing", [
    {}, {"gains": {"vocals": [1, 0, 0]}}, {"gains": {"vocals": [float("nan")] * 7}},
    {"gains": {"vocals": "1000000"[:6]}}, {"gains": {"vocals": None}}, {"gains": [1, 2]},
    {"gains": GAINS, "weights": [[1], [1]]},
], ids=str)
def test_what_does_not_fit_is_refused(listing: dict, tmp_path) -> None:
    for name, network in zip("ab", PAIR, strict=True):
        save_hub_model(network, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"], weights=listing.get("weights"))
    if "gains" in listing:
        import yaml

        text = yaml.safe_dump({"models": ["a", "b"], **listing})
        (tmp_path / "m.yaml").write_text(text)
    files = catalog.whole("m", tmp_path)
    with pytest.raises(ModelError, match="m cannot be loaded"):
        load_members(files)


def test_demucs_runs_a_mixture_as_one_model(tmp_path) -> None:
    for name, network in zip("ab", (tiny(1), PAIR[1]), strict=True):
        save_hub_model(network, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"], gains=GAINS)
    (model,) = load_bag(catalog.whole("m", tmp_path)).models
    assert isinstance(model, Formed) and model.sources == list(GAINS)
