"""What the filter makes of stems that a mask cannot tell apart."""

import torch

from server.engine.wiener import refine

HALF = torch.tensor([0.5, 0.5])


def refined(made: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Of stems that add up to the mix."""
    found = made.clone()
    refine(made.sum(1), found, shares)
    return found


def error(truth: torch.Tensor, made: torch.Tensor) -> float:
    return float((truth - made).abs().square().sum() / truth.abs().square().sum())


def two_places(bins: int = 50, frames: int = 60) -> torch.Tensor:
    """(1, 2, 2, frames, bins): one stem more on the left, one on the right, coming and going."""
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(2, frames, bins, dtype=torch.complex64, generator=generator)
    sound *= torch.rand(2, frames, 1, generator=generator)
    places = torch.tensor([[0.9, 0.3], [0.2, 0.8]])
    return (sound[:, None] * places[:, :, None, None])[None]


def test_stems_that_leak_come_nearer_to_the_truth() -> None:
    truth = two_places()
    leaking = 0.8 * truth + 0.2 * truth.flip(1)
    found = refined(leaking, torch.ones(2))
    assert error(truth, found) < 0.5 * error(truth, leaking)


def test_the_level_does_not_matter() -> None:
    made = two_places() + 0.1 * two_places().flip(2)
    wanted = refined(made, HALF)
    for level in (1e-4, 1e4):
        found = refined(level * made, HALF) / level
        assert error(wanted, found) < 1e-8


def test_a_share_is_how_far_a_stem_goes() -> None:
    made = two_places() + 0.1 * two_places().flip(2)
    nothing, whole = made, refined(made, torch.ones(2))
    half = refined(made, HALF)
    assert error(0.5 * (nothing + whole), half) < 1e-6
