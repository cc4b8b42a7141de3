"""The hub's format, read back by Demucs' own loaders."""

from fractions import Fraction

import pytest
import torch
import yaml
from demucs.hdemucs import HDemucs
from demucs.hf import get_hf_model, load_safetensors_model
from demucs.htdemucs import HTDemucs

from server.starter.store import save_bag, save_hub_model

SOURCES = ["drums", "bass", "other", "vocals"]


def small(klass=HTDemucs, **more):
    """An untrained model of a few weights."""
    torch.manual_seed(1)
    return klass(SOURCES, channels=8, depth=3, kernel_size=16, stride=8, **more).eval()


def test_a_model_comes_back_as_it_was(tmp_path):
    model = small(segment=Fraction(1, 2), t_layers=1, t_heads=2)
    back = load_safetensors_model(save_hub_model(model, tmp_path, "one"))
    assert type(back) is HTDemucs
    assert back.segment == Fraction(1, 2) and isinstance(back.segment, Fraction)
    assert back.sources == SOURCES
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value.half().float())


def test_another_architecture_comes_back_and_sounds_the_same(tmp_path):
    model = HDemucs(SOURCES, channels=4, nfft=1024, depth=6, segment=1).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.half().float())
    back = load_safetensors_model(save_hub_model(model, tmp_path, "hybrid")).eval()
    x = torch.randn(1, 2, 44100)
    with torch.no_grad():
        assert torch.equal(back(x), model(x))


def test_other_weights_may_take_the_place_of_the_models_own(tmp_path):
    model = small(t_layers=0)
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    back = load_safetensors_model(save_hub_model(model, tmp_path, "zeros", zeros))
    assert all(not value.any() for value in back.state_dict().values())


def test_training_does_not_change_the_segment_that_is_stored(tmp_path):
    model = small(segment=Fraction(3, 4), t_layers=0).train()
    model(torch.randn(1, 2, 11025))
    assert model.segment == Fraction(1, 4)
    assert load_safetensors_model(save_hub_model(model, tmp_path, "m")).segment == Fraction(3, 4)


def test_a_bag_is_found_by_its_name(tmp_path, monkeypatch):
    for signature in ("first", "second"):
        save_hub_model(small(t_layers=0, segment=2), tmp_path, signature)
    rows = [[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 1.0, 0.5]]
    save_bag(tmp_path, "pair", ["first", "second"], weights=rows, segment=1.5)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, file: str(tmp_path / file))
    bag = get_hf_model("pair")
    assert len(bag.models) == 2 and bag.weights == rows
    assert [m.segment for m in bag.models] == [1.5, 1.5]


def test_what_half_precision_cannot_hold_stays_as_it_is(tmp_path):
    model = small(t_layers=0)
    name, weight = next(iter(model.named_parameters()))
    with torch.no_grad():
        weight.fill_(1e6)
    back = load_safetensors_model(save_hub_model(model, tmp_path, "big")).state_dict()
    assert torch.equal(back.pop(name), weight)
    assert all(torch.equal(value, value.half().float()) for value in back.values())


def test_a_weight_that_is_not_finite_is_refused_and_leaves_nothing(tmp_path):
    model = small(t_layers=0)
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    with pytest.raises(ValueError, match="is not finite"):
        save_hub_model(model, tmp_path, "bad")
    assert not list(tmp_path.iterdir())


def test_gains_are_listed_beside_the_models(tmp_path):
    listing = save_bag(tmp_path, "pair", ["a", "b"], gains={"vocals": (0.5, 0.0, -0.25)})
    assert yaml.safe_load(listing.read_text()) == {
        "models": ["a", "b"], "gains": {"vocals": [0.5, 0.0, -0.25]}}  # fmt: skip
