"""What happens to stems before they are mixed: each treatment does what it says, to each alone."""

import numpy as np
import pytest
import torch

from server.starter.training import treatment
from server.starter.training.bank import SR
from server.starter.training.treatment import (
    coloured,
    driven,
    equalised,
    limiter_gain,
    placed,
    treated,
    widened,
)


def tone(hertz: float = 440.0, samples: int = SR) -> torch.Tensor:
    """(2, samples), other on either side."""
    t = torch.arange(samples) / SR
    return torch.stack([torch.sin(2 * torch.pi * hertz * t + phase) for phase in (0.0, 1.0)])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("treat", [driven, widened, coloured, placed, treated])
def test_treatments_are_drawn_by_seed_keep_silence_and_are_finite(treat):
    stems = torch.stack([0.3 * tone(), torch.zeros(2, SR), 1e-6 * tone(100.0)])
    made = treat(stems.clone(), rng())
    assert made.shape == stems.shape and made.isfinite().all()
    assert float(made[1].abs().max()) < 1e-9
    torch.testing.assert_close(made, treat(stems.clone(), rng()))
    assert not torch.equal(made[0], stems[0])


def test_stems_that_are_not_chosen_keep_their_shape(monkeypatch):
    monkeypatch.setattr(treatment, "TREATMENTS", ((0.0, driven),))
    stems = tone().expand(20, -1, -1).clone()
    made = treated(stems, rng())
    for stem in made:
        straight, crossed = (stem / other for other in (tone(), tone().flip(0)))
        spread = min(
            float(x[:, 5:200].std() / x[:, 5:200].mean().abs()) for x in (straight, crossed)
        )
        assert spread < 0.02


def test_a_driven_stem_keeps_its_peak_and_gains_harmonics():
    stems = 0.2 * tone().expand(30, -1, -1)
    made = driven(stems, rng())
    torch.testing.assert_close(made.abs().amax((1, 2)), stems.abs().amax((1, 2)))
    spectra = torch.fft.rfft(made[:, 0]).abs()
    third = spectra[:, 3 * 440] / spectra[:, 440]
    assert third.min() < 0.03 and third.max() > 0.2


def test_widths_go_from_mono_to_wider():
    made = widened(tone().expand(200, -1, -1), rng())
    left, right = made.unbind(1)
    across = (left * right).sum(1) / (left.square().sum(1) * right.square().sum(1)).sqrt()
    assert across.max() > 0.999 and across.min() < 0.3
    balance = 10 * (left.square().sum(1) / right.square().sum(1)).log10()
    assert balance.min() < -4 and balance.max() > 4 and balance.abs().max() < 9


def test_some_of_the_coloured_are_dull():
    noise = torch.randn(60, 2, SR, generator=torch.Generator().manual_seed(0))
    spectra = torch.fft.rfft(coloured(noise, rng())[:, 0]).abs().square()
    highs = 10 * (spectra[:, 12000:20000].mean(1) / spectra[:, 300:1000].mean(1)).log10()
    assert 3 <= int((highs < -20).sum()) <= 25


@pytest.mark.parametrize("octave", [3, 6, 9])
def test_an_equaliser_turns_its_octave(octave):
    gains = torch.zeros(1, 11)
    gains[0, octave] = -6.0
    corner = 22050 * 2.0 ** (octave - 10)
    for hertz, expected in ((corner, -6.0), (corner / 4, 0.0)):
        sound = tone(round(hertz))
        (made,) = equalised(sound[None], gains)
        change = 10 * torch.log10(made.square().sum() / sound.square().sum())
        assert float(change) == pytest.approx(expected, abs=0.3)


def test_a_room_answers_after_the_sound_and_dies_away():
    click = torch.zeros(40, 2, 2 * SR)
    click[:, :, 1000] = 1.0
    made = placed(click, rng())
    torch.testing.assert_close(made[:, :, 1000], torch.ones(40, 2), atol=0.3, rtol=0)
    early, late = (
        made[..., a:b].square().sum((1, 2)) for a, b in ((1001, SR), (SR + 1000, 2 * SR))
    )
    assert (early > 0.001).all() and (late < 0.03 * early).all()
    assert not torch.equal(made[:, 0], made[:, 1])


def test_a_limiter_keeps_below_the_ceiling_and_leaves_what_is_quiet():
    mix = 0.05 * torch.ones(2, SR)
    mix[:, 20000:24000] = 1.0
    gain, lower = limiter_gain(mix.expand(2, -1, -1), torch.tensor([0.5, 0.3]))
    assert float((mix * lower).abs().max()) < 0.45
    assert float((mix * gain).abs().max()) < 0.75
    assert torch.all(gain[:15000] == 1.0) and torch.all(gain[30000:] == 1.0)
    assert limiter_gain(torch.zeros(1, 2, SR), torch.tensor([0.5])).isfinite().all()
