"""The loss against its definition, over what networks and examples have in common."""

import pytest
import torch

from server.engine.bands import BINS, spread
from server.engine.masknet import middle_side
from server.starter.songs import STEMS
from server.starter.training.loss import QUIET, heard, merged, spectral_loss, targets
from server.starter.training.sizes import build_model

VOCALS = ("vocals", "instrumental")


def network(sources=STEMS):
    torch.manual_seed(0)
    return build_model(sources=sources, channels=8, blocks=1, dim=16, layers=1).eval()


def noise(parts: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(2, parts, 2, 22050, generator=generator)


def gradients(loss: torch.Tensor, weights: list[torch.Tensor]) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [x for x in found if x is not None]


def plain(net, stems: torch.Tensor, parts, emphasis) -> torch.Tensor:
    """By the spectra of guess and truth themselves."""
    spectra, mix = net.spectra(stems)[..., :BINS], net.spectra(stems.sum(1))[..., :BINS]
    middle, side, across = spread(net.masks(mix)).transpose(0, 2).unbind(1)
    m, s = middle_side(mix).unsqueeze(2).unbind(1)
    guess = torch.stack((middle * m + across * s, across * m + side * s), 2)
    guess = middle_side(guess.transpose(1, 2)).transpose(1, 2)
    power = lambda z: z.abs().square().sum((1, 2, 3))  # noqa: E731
    total, weights = 0.0, 0.0
    for target in targets(net.sources, parts):
        truth = spectra[:, target.parts].sum(1)
        error = power(truth - guess[:, target.sources].sum(1))
        weight = emphasis.get(target.stems, 1.0)
        total += weight * (error / (power(truth) + QUIET * power(mix))).mean()
        weights += weight
    return total / weights


@pytest.mark.parametrize("sources", [STEMS, VOCALS], ids=" ".join)
@pytest.mark.parametrize("parts", [STEMS, ("instrumental", "vocals"), ("guitar", "backing")],
                         ids=" ".join)  # fmt: skip
def test_it_is_the_squared_error_of_the_spectra(sources, parts):
    net, stems = network(sources), noise(len(parts))
    if not targets(sources, parts):
        assert sources == VOCALS and "guitar" in parts
        return
    found = spectral_loss(net, heard(net, stems, parts), {"vocals": 3.0, "backing": 2.0})
    singing, backing = frozenset(("vocals",)), frozenset(STEMS) - {"guitar"}
    wanted = plain(net, stems, parts, {singing: 3.0, backing: 2.0})
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    for one, other in zip(gradients(found, weights), gradients(wanted, weights), strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=2e-5)


def names(sources, parts):
    return [({sources[i] for i in t.sources}, {parts[i] for i in t.parts})
            for t in targets(sources, parts)]  # fmt: skip


def test_six_stems_and_their_sums_are_compared():
    found = names(STEMS, STEMS)
    assert found[:6] == [({stem}, {stem}) for stem in STEMS]
    assert found[6:] == [
        ({"other", "guitar", "piano"},) * 2, (set(STEMS) - {"vocals"},) * 2
    ]  # fmt: skip


def test_of_a_sum_only_the_sum_is_compared():
    rest = set(STEMS) - {"vocals"}
    assert names(STEMS, ("instrumental", "vocals")) == [
        (rest, {"instrumental"}), ({"vocals"}, {"vocals"})]  # fmt: skip
    assert names(STEMS, ("guitar", "backing")) == [
        ({"guitar"}, {"guitar"}), (set(STEMS) - {"guitar"}, {"backing"})]  # fmt: skip


def test_two_sources_compare_two_sums_of_six_stems():
    assert names(VOCALS, STEMS) == [
        ({"vocals"}, {"vocals"}),
        ({"instrumental"}, set(STEMS) - {"vocals"}),
    ]


def test_parts_that_are_never_told_apart_are_added_up_first():
    stems = noise(6)
    fewer, compared = merged(stems, targets(VOCALS, STEMS))
    assert fewer.shape[1] == 2
    for old, new in zip(targets(VOCALS, STEMS), compared, strict=True):
        torch.testing.assert_close(fewer[:, new.parts].sum(1), stems[:, old.parts].sum(1))


def test_bf16_is_close():
    net, stems = network(), noise(6)
    examples = heard(net, stems, STEMS)
    near, exact = (spectral_loss(net, examples, bf16=bf16) for bf16 in (True, False))
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.02, atol=0)


def test_silence_has_a_finite_loss_and_gradient():
    net = network().train()
    stems = noise(6)
    stems[0] = 0
    stems[1, 2] = 0
    loss = spectral_loss(net, heard(net, stems, STEMS))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
