"""The faster forward against demucs's own, on the same random weights."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch import nn

from loadtests.compare import snr_db as sdr
from server.config import Config
from server.engine.forwards import acceleration
from server.engine.forwards.acceleration import accelerate, precision_on, snr_db
from server.engine.forwards.fast import FULL, FastHTDemucs, Precision, has_fast_forward
from server.engine.forwards.fastmask import FastMaskBag
from server.engine.forwards.linears import Int8Linear
from server.engine.forwards.passes import CompiledPasses, Passes, TorchPasses, normed
from server.engine.library import catalog
from server.engine.loading import load_members
from server.engine.models import Separator
from server.starter.songs import synthesise
from tests.engine.conftest import STEMS, tiny

CPU = torch.device("cpu")
HALF = Precision(torch.float16, torch.float16)
SHAPES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "htdemucs": {"bottom_channels": 32, "t_layers": 5, "dconv_mode": 3, "t_dropout": 0.02},
    "cross first": {"t_layers": 2, "t_cross_first": True},
    "no dconv": {"dconv_mode": 0},
    "deep dconv": {"dconv_mode": 3, "dconv_depth": 3},
    "no embedding": {"freq_emb": 0},
    "wide encoder context": {"context_enc": 1, "context": 0},
    "other transform": {"nfft": 2048, "kernel_size": 8, "depth": 3},
    "uneven length": {"segment": Fraction(44_101, 44_100)},
    "own time channels": {"channels_time": 16, "t_layers": 0, "dconv_mode": 3},
}


def shaken(**shape: Any) -> HTDemucs:
    """A small model none of whose weights is still at its neutral start."""
    model = tiny(5, **shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("passes", [CompiledPasses(2), TorchPasses()], ids=["compiled", "torch"])
@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_equals_demucs(shape: str, passes: Passes) -> None:
    model = shaken(**SHAPES[shape])
    if shape == "own time channels":
        assert not has_fast_forward(model), "no transformer: nothing is gained"
        return
    assert has_fast_forward(model)
    fast = FastHTDemucs(model, passes).eval()
    for segments in (1, 3):
        mix = 0.2 * torch.randn(segments, 2, model.valid_length(1))
        torch.testing.assert_close(fast(mix), model(mix), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", [FULL, HALF])
@pytest.mark.parametrize("shape", ["defaults", "htdemucs"])
@torch.inference_mode()
def test_everything_is_on_the_models_device(shape: str, precision: Precision) -> None:
    """Tensors without numbers, which still refuse to be mixed with a CPU's."""
    elsewhere = torch.device("meta")
    model = shaken(**SHAPES[shape]).to(elsewhere)
    fast = acceleration._fast(model, precision, None)
    kept = {tensor.device for tensor in (*fast.parameters(), *fast.buffers())}
    assert kept == {elsewhere}
    made = fast(torch.empty(2, 2, model.valid_length(1), device=elsewhere))
    assert made.device == elsewhere and made.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("level", [0.0, 1.0, 200.0])
def test_the_norm_of_a_card_is_the_norm(dtype: torch.dtype, level: float) -> None:
    torch.manual_seed(1)
    x = (level * (torch.randn(3, 2, 400, 24) + 2)).to(dtype)
    weight, bias = torch.randn(24).to(dtype), torch.randn(24).to(dtype)
    made = normed(x, weight, bias, 1e-5)
    assert made.dtype == dtype
    exact = torch.nn.functional.layer_norm(x.double(), (400, 24), eps=1e-5)
    exact = exact * weight.double() + bias.double()
    torch.testing.assert_close(made.double(), exact, atol=4e-3 if dtype == torch.float16 else 1e-4,
                               rtol=1e-3)


@torch.inference_mode()
def test_equals_demucs_on_a_short_segment() -> None:
    model = shaken()
    mix = 0.2 * torch.randn(1, 2, 20_000)
    torch.testing.assert_close(FastHTDemucs(model, CompiledPasses(2)).eval()(mix), model(mix),
                               atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("mix", [
    torch.zeros(1, 2, 44100), torch.sign(torch.sin(torch.arange(88200.0) / 9)).view(1, 2, 44100),
    torch.nn.functional.one_hot(torch.tensor([[100, 9]]), 44100).float(),
], ids=["silence", "square", "impulse"])
@torch.inference_mode()
def test_equals_demucs_on_hard_sounds(mix: torch.Tensor) -> None:
    model = shaken()
    made = FastHTDemucs(model, CompiledPasses(2)).eval()(mix)
    assert made.isfinite().all()
    torch.testing.assert_close(made, model(mix), atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_segments_of_a_batch_do_not_hear_each_other() -> None:
    fast = FastHTDemucs(shaken(), CompiledPasses(2)).eval()
    mix = 0.2 * torch.randn(3, 2, 44100)
    made = fast(mix)
    other = mix.clone()
    other[1] = 0
    torch.testing.assert_close(fast(other)[[0, 2]], made[[0, 2]], atol=0, rtol=0)


@pytest.mark.parametrize("precision", [
    Precision(tokens=torch.int8), Precision(tokens=torch.bfloat16), HALF,
], ids=str)
def test_reduced_precision_keeps_40_db(precision: Precision) -> None:
    for model in (shaken(**SHAPES["htdemucs"]), shaken()):
        passes = CompiledPasses(2) if precision.convolutions == torch.float32 else TorchPasses()
        assert snr_db(model, FastHTDemucs(model, passes, precision).eval()) > 40


@pytest.fixture(scope="module")
def trained() -> HTDemucs:
    """An HTDemucs whose weights have been learnt."""
    files = catalog.whole("trained", Path(__file__).parents[1] / "weights")
    assert files is not None
    (network,) = load_members(files).networks
    return network


def test_reduced_precision_keeps_40_db_on_trained_weights(trained: HTDemucs) -> None:
    model = trained
    assert snr_db(model, FastHTDemucs(model, TorchPasses(), HALF).eval()) > 40
    reduced = FastHTDemucs(model, CompiledPasses(2), Precision(tokens=torch.int8)).eval()
    assert snr_db(model, reduced) > 50


@pytest.mark.parametrize("seed", [2_000_003, 2_000_017])
@torch.inference_mode()
def test_integers_lose_no_quality(seed: int, trained: HTDemucs) -> None:
    model = trained
    fast = FastHTDemucs(model, CompiledPasses(2), Precision(tokens=torch.int8)).eval()
    stems = torch.from_numpy(np.stack(list(synthesise(seed, 8.0).values())))
    stems = stems[..., : model.valid_length(1)]
    mix = stems.sum(0)[None]
    plain, made = model(mix)[0].numpy(), fast(mix)[0].numpy()
    for stem, theirs, ours in zip(stems.numpy(), plain, made, strict=True):
        assert sdr(theirs, ours) > 40
        assert not stem.any() or sdr(stem, ours) > sdr(stem, theirs) - 0.01


@pytest.mark.parametrize("change", [
    {"norm_starts": 2}, {"t_layers": 0}, {"cac": False}, {"t_emb": "scaled"},
    {"t_norm_first": False}, {"multi_freqs": [0.5], "multi_freqs_depth": 1}, {"rewrite": False},
    {"t_gelu": False}, {"t_norm_in": False}, {"t_group_norm": 2},
], ids=str)
def test_other_kinds_keep_demucs_own_forward(change: dict[str, Any]) -> None:
    model = tiny(1, **change)
    assert accelerate(model, CPU) is model


def test_published_kinds(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: True)
    assert not Separator(catalog.find("hdemucs_mmi", config), CPU).reduced, "demucs's own forward"
    kinds = {name: [type(member) for member, _ in Separator(catalog.find(name, config), CPU).models]
             for name in ("htdemucs", "htdemucs_ft", "htdemucs_6s", "starter")}
    assert kinds.pop("starter") == [FastMaskBag]
    assert all(kind is FastHTDemucs for members in kinds.values() for kind in members)
    size = HTDemucs(STEMS, bottom_channels=512, t_layers=5, segment=Fraction(39, 5), dconv_mode=3)
    assert has_fast_forward(size), "htdemucs's own arguments"


@pytest.mark.parametrize("spoil", [lambda out: out * float("nan"), lambda out: out * 1.02])
def test_a_reduced_precision_that_loses_too_much_is_not_used(
    spoil: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "multiplies_int8", lambda: True)
    assert precision_on(CPU, "auto") == Precision(tokens=torch.int8)
    assert precision_on(CPU, "float32") == FULL
    model, forward = shaken(), FastHTDemucs.forward
    assert computes_in(accelerate(model, CPU)) == torch.int8
    monkeypatch.setattr(FastHTDemucs, "forward", lambda self, mix: (
        spoil(forward(self, mix)) if computes_in(self) == torch.int8 else forward(self, mix)
    ))  # fmt: skip
    fallen_back = accelerate(model, CPU)
    assert computes_in(fallen_back) == torch.float32
    assert snr_db(model, fallen_back) > 100
    assert computes_in(accelerate(model, CPU, "float32")) == torch.float32


def computes_in(model: nn.Module) -> torch.dtype:
    """What the transformer's linear layers compute in."""
    assert isinstance(model, FastHTDemucs)
    integers = any(isinstance(part, Int8Linear) for part in model.transformer.modules())
    return torch.int8 if integers else torch.float32
