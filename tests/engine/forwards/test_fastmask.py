"""The mask network's faster forward against the plain one, and who gets it."""

import pytest
import torch

from server.engine.forwards import acceleration
from server.engine.forwards.acceleration import accelerate, snr_db
from server.engine.forwards.fast import FULL, Precision
from server.engine.forwards.fastmask import FastMaskBag
from server.engine.maskbag import MaskBag
from server.engine.masknet import MaskNet
from tests.engine.conftest import tiny_masks

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that multiplies it; torch does so on any, slowly. The same noise always."""
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: True)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def net() -> MaskNet:
    return tiny_masks(0)


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def fast(request: pytest.FixtureRequest, net: MaskNet) -> FastMaskBag:
    return FastMaskBag(MaskBag.of(net), request.param).eval()


def db(wanted: torch.Tensor, made: torch.Tensor) -> float:
    error = (wanted - made).square().sum()
    return float(10 * torch.log10(wanted.square().sum() / error))


def test_in_float32_it_answers_as_the_plain_one(net: MaskNet) -> None:
    assert snr_db(net, FastMaskBag(MaskBag.of(net)).eval()) > 90


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 1000, 1024, 50001])
def test_any_length(samples: int, net: MaskNet) -> None:
    mix = torch.randn(1, 2, samples)
    assert db(net(mix), FastMaskBag(MaskBag.of(net)).eval()(mix)) > 90


@torch.inference_mode()
def test_sources_add_up_to_any_sound(fast: FastMaskBag) -> None:
    for mix in (torch.randn(2, 2, 44100), torch.ones(1, 2, 44100)):
        assert db(mix, fast(mix).sum(1)) > 90


@torch.inference_mode()
def test_silence_stays_digital_silence(fast: FastMaskBag) -> None:
    assert not fast(torch.zeros(2, 2, 44100)).any()


@torch.inference_mode()
def test_a_batch_is_as_each_alone(fast: FastMaskBag) -> None:
    mix = 0.2 * torch.randn(3, 2, 44100)
    for alone, together in zip(mix, fast(mix), strict=True):
        # sums in another order, and now and then a number rounded to its other neighbour
        assert db(fast(alone[None])[0], together) > (90 if fast.precision == FULL else 50)


@torch.inference_mode()
def test_a_segment_that_is_not_finite_says_so_and_the_others_are_sound(fast: FastMaskBag) -> None:
    mix = 0.2 * torch.randn(3, 2, 44100)
    mix[1, 0, 20000] = float("nan")
    assert fast(mix).isfinite().all(-1).all(-1).all(-1).tolist() == [True, False, True]


def test_the_plain_one_is_not_changed(net: MaskNet) -> None:
    other = tiny_masks(0)
    FastMaskBag(MaskBag.of(net), torch.bfloat16)
    for value, same in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(value, same, atol=0, rtol=0)


def test_where_nothing_less_than_float32_is_wanted_it_is_faster_in_float32(
    net: MaskNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = accelerate(net, CPU, "float32")
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: False)
    for fast in (wanted, accelerate(net, CPU)):
        assert isinstance(fast, FastMaskBag) and fast.precision == FULL


@pytest.mark.parametrize("spoil", [float("nan"), 1.02])
def test_a_forward_that_loses_too_much_is_not_used(
    spoil: float, net: MaskNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, spoilt = FastMaskBag.forward, {torch.bfloat16}
    monkeypatch.setattr(FastMaskBag, "forward", lambda self, mix, *members: (
        forward(self, mix, *members) * (spoil if self.precision.convolutions in spoilt else 1)
    ))  # fmt: skip
    fallen_back = accelerate(net, CPU)
    assert isinstance(fallen_back, FastMaskBag) and fallen_back.precision == FULL
    spoilt.add(torch.float32)
    assert type(accelerate(net, CPU)) is MaskBag
    spoilt.clear()
    reduced = accelerate(net, CPU)
    assert isinstance(reduced, FastMaskBag) and reduced.precision == Precision(torch.bfloat16)
