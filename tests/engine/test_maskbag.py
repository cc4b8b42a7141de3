"""Mask networks as one model: what it makes, which of them run, and what a listing may say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine.engine import Engine
from server.engine.forwards.fastmask import FastMaskBag
from server.engine.library import catalog
from server.engine.loading import load_bag, load_members
from server.engine.maskbag import MaskBag, shares_of
from server.engine.models import Separator
from server.engine.recipes import Formed
from server.errors import ModelError
from server.starter.store import save_bag, save_hub_model
from server.stems import OUTPUTS, own_sources
from tests.engine.conftest import (
    CPU,
    GAINS,
    MASK_GAINS,
    STEMS,
    WIENER,
    noise,
    run,
    song,
    stems_of,
    tiny,
    tiny_masks,
)

PAIR = [tiny_masks(0, ["vocals", "instrumental"]), tiny_masks(1)]


@pytest.fixture(params=[MaskBag, FastMaskBag])
def bag(request: pytest.FixtureRequest) -> MaskBag:
    bag = MaskBag(PAIR, MASK_GAINS, WIENER).eval()
    return bag if request.param is MaskBag else FastMaskBag(bag).eval()


def db(wanted: torch.Tensor, made: torch.Tensor) -> float:
    error = (wanted - made).square().sum()
    return float(10 * torch.log10(wanted.square().sum() / error))


@torch.inference_mode()
def test_gains_of_masks_are_gains_of_sounds() -> None:
    mix = torch.randn(2, 2, 44100)
    wanted = Formed(PAIR, MASK_GAINS)(mix)
    assert db(wanted, MaskBag(PAIR, MASK_GAINS, {}).eval()(mix)) > 100


@torch.inference_mode()
def test_the_filter_changes_the_stems_that_have_a_share() -> None:
    mix = torch.randn(1, 2, 44100)
    plain, refined = (MaskBag(PAIR, MASK_GAINS, shares).eval()(mix)[0] for shares in ({}, WIENER))
    changed = [db(a, b) < 60 for a, b in zip(plain, refined, strict=True)]
    assert changed == [stem in WIENER for stem in MASK_GAINS]


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 1000, 44100, 50001])
def test_stems_add_up_to_any_sound(samples: int, bag: MaskBag) -> None:
    for mix in (torch.randn(2, 2, samples), torch.ones(1, 2, samples)):
        assert db(mix, bag(mix).sum(1)) > 90


@torch.inference_mode()
def test_silence_stays_digital_silence(bag: MaskBag) -> None:
    assert not bag(torch.zeros(2, 2, 44100)).any()


@torch.inference_mode()
def test_a_specialist_makes_the_same_alone(bag: MaskBag) -> None:
    mix = torch.randn(2, 2, 44100)
    vocals = list(MASK_GAINS).index("vocals")
    alone, among = bag(mix, (0,)), bag(mix)
    torch.testing.assert_close(alone[:, vocals], among[:, vocals], atol=1e-6, rtol=0)
    alone[:, vocals] = 0
    assert not alone.any(), "what needs the other network is silent"


def test_who_runs(bag: MaskBag) -> None:
    def members(*stems: str) -> tuple[int, ...]:
        return bag.members([stem in stems for stem in MASK_GAINS])

    assert members("vocals") == (0,) and members("drums") == members("vocals", "bass") == (0, 1)
    assert members() == (0,), "what is but the mix needs no network, and one runs all the same"
    assert bag.choices == [(0,), (0, 1)]


def test_where_every_stem_needs_all_networks_all_run() -> None:
    gains = dict.fromkeys(STEMS, (0.5,) * 6 + (0.1,))
    bag = MaskBag(PAIR, gains, {}).eval()
    assert bag.members([False] * 4) == (0, 1) and bag.choices == [(0, 1)]


def test_a_stem_that_is_but_the_mix() -> None:
    bag = MaskBag(PAIR[:1], {"vocals": (1.0, 0, 0), "all": (0, 0, 1.0)}, {}).eval()
    mix = torch.randn(1, 2, 44100)
    with torch.inference_mode():
        assert db(mix, bag(mix)[:, 1]) > 100


@pytest.mark.parametrize("said", [
    ["drums"], {"flute": 0.5}, {"drums": 1.5}, {"drums": -0.1}, {"drums": float("nan")},
    {"drums": "much"}, {"drums": None}, {"drums": [0.5]}, 0.5,
], ids=str)  # fmt: skip
def test_shares_that_make_no_sense_are_refused(said: object, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        shares_of({"wiener": said}, MASK_GAINS)
    for name, network in zip("ab", PAIR, strict=True):
        save_hub_model(network, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"], gains=MASK_GAINS, wiener=said)
    with pytest.raises(ModelError, match=r"m cannot be loaded: .*wiener"):
        load_members(catalog.whole("m", tmp_path))


def test_none_need_be_named() -> None:
    assert shares_of({}, MASK_GAINS) == shares_of({"wiener": {}}, MASK_GAINS) == {}


def test_networks_of_other_kinds_have_no_filter(tmp_path: Path) -> None:
    """Their sounds are mixed, not their masks: a listing that asks for one is refused."""
    for name, network in zip("ab", (tiny(1), PAIR[0]), strict=True):
        save_hub_model(network, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"], gains=GAINS, wiener={"vocals": 0.5})
    with pytest.raises(ModelError, match="wiener"):
        load_members(catalog.whole("m", tmp_path))


def test_demucs_runs_it_as_one_model(config: Config) -> None:
    (model,) = load_bag(catalog.find("shared", config)).models
    assert isinstance(model, MaskBag) and model.sources == list(MASK_GAINS)
    members = load_members(catalog.find("shared", config))
    assert members.recipe == own_sources(STEMS) and members.networks[0].wiener == WIENER


def test_vocals_are_the_same_in_every_order(config: Config, tmp_path: Path) -> None:
    model, frames = Separator(catalog.find("shared", config), CPU), noise(2.3)
    engine = Engine(max_batch=4)
    for output in ("BOTH", "FOUR_STEMS"):
        engine.add(song(tmp_path / output, frames, model, name=output, stems=OUTPUTS[output]))
    assert run(engine) == {"BOTH": None, "FOUR_STEMS": None}
    both, four = (
        stems_of(tmp_path / output, model, OUTPUTS[output]) for output in ("BOTH", "FOUR_STEMS")
    )
    np.testing.assert_allclose(both[0], four[3], atol=1e-5)


@pytest.mark.parametrize("listed", [
    {}, {"weights": [[1, 0, 0.5, 2], [0, 1, 0.5, 1]]},
    {"gains": {stem: (*row[:4], 0, 0, row[6]) for stem, row in GAINS.items()}},
], ids=["mean", "weighted", "beside another kind"])  # fmt: skip
def test_mask_networks_in_a_bag_of_several_all_run(listed: dict, tmp_path: Path) -> None:
    others = [tiny_masks(2)] if "gains" not in listed else [tiny(1, sources=STEMS[:2])]
    for name, network in zip("ab", [tiny_masks(1), *others], strict=True):
        save_hub_model(network, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"], **listed)
    files = catalog.whole("m", tmp_path)
    model, mix = Separator(files, CPU, "float32"), 0.1 * torch.randn(1, 2, 44100)
    wanted, made = (load_bag(files).models, model(mix))
    if "gains" in listed:
        assert made.shape[1] == 6 and made[:, 4:].any(), "the other kind's sources"
        return
    weights = torch.tensor(listed.get("weights", [[1.0] * 4] * 2))[:, None, :, None, None]
    with torch.inference_mode():
        mean = sum(w * n(mix) for w, n in zip(weights, wanted, strict=True)) / weights.sum(0)
    torch.testing.assert_close(made, mean, atol=1e-4, rtol=0)
