"""The mask network: transforms that are inverses, masks that share out the mix."""

import pytest
import torch

from server.engine.bands import BANDS, BINS, GROUPS, BandMerge, BandSplit, spread, summed
from server.engine.masknet import MaskNet, features
from tests.engine.conftest import tiny_masks


@pytest.fixture(scope="module")
def net() -> MaskNet:
    return tiny_masks(0)


def test_the_bands_hold_every_bin() -> None:
    assert sum(group.bins for group in GROUPS) == BINS
    assert all(group.width % group.share == 0 for group in GROUPS)
    assert BANDS == 85


def test_spread_is_the_transpose_of_summed() -> None:
    x = torch.randn(3, BINS, dtype=torch.float64)
    values = torch.randn_like(summed(x))
    torch.testing.assert_close((spread(values) * x).sum(), (values * summed(x)).sum())


def test_band_layers_are_a_layer_a_band() -> None:
    torch.manual_seed(0)
    split, x = BandSplit(4, 5), torch.randn(4, 3, BINS)
    merge, first, band = BandMerge(5, 2), 0, 0
    merged = merge(made := split(x))
    values = 0
    for place, group in enumerate(GROUPS):
        for number in range(group.bands):
            part = x[:, :, first : first + group.width].transpose(0, 1).flatten(1)
            expected = part @ split.weights[place][number] + split.biases[place][number]
            torch.testing.assert_close(made[:, band], expected, atol=1e-5, rtol=1e-5)
            count = group.width // group.share
            out = expected @ merge.weights[place][number] + merge.biases[place][number]
            torch.testing.assert_close(
                merged[:, :, values : values + count], out.unflatten(1, (2, -1)).transpose(0, 1),
                atol=1e-5, rtol=1e-5,
            )  # fmt: skip
            first, band, values = first + group.width, band + 1, values + count


@pytest.mark.parametrize("samples", [1, 1000, 1024, 4096, 44100, 50001])
def test_the_waves_of_spectra_are_the_wave(samples: int, net: MaskNet) -> None:
    x = torch.randn(2, 2, samples)
    torch.testing.assert_close(net.waves(net.spectra(x), samples), x, atol=1e-5, rtol=1e-5)


def test_spectra_are_those_of_torch(net: MaskNet) -> None:
    x = torch.randn(2, 20000)
    theirs = torch.stft(x, 4096, 1024, window=net.window, center=False, return_complex=True)
    torch.testing.assert_close(net.spectra(x)[:, 3 : 3 + theirs.shape[-1]],
                               theirs.transpose(1, 2), atol=1e-3, rtol=1e-4)  # fmt: skip


@torch.inference_mode()
def test_sources_add_up_to_any_sound(net: MaskNet) -> None:
    for mix in (torch.randn(2, 2, 44100), torch.ones(1, 2, 44100),
                torch.ones(44100).cumsum(0).remainder(2).expand(1, 2, -1) - 0.5):  # fmt: skip
        error = net(mix).sum(1) - mix
        assert 10 * torch.log10(mix.square().sum() / error.square().sum()) > 90


@torch.inference_mode()
def test_silence_stays_digital_silence(net: MaskNet) -> None:
    assert not net(torch.zeros(2, 2, 44100)).any()


@torch.inference_mode()
def test_the_level_does_not_matter(net: MaskNet) -> None:
    mix = 0.2 * torch.randn(1, 2, 44100)
    torch.testing.assert_close(net(0.01 * mix), 0.01 * net(mix), atol=1e-6, rtol=1e-3)


@torch.inference_mode()
def test_segments_of_a_batch_do_not_hear_each_other(net: MaskNet) -> None:
    mix = 0.2 * torch.randn(3, 2, 44100)
    made, other = net(mix), mix.clone()
    other[1] = 0
    torch.testing.assert_close(net(other)[[0, 2]], made[[0, 2]], atol=1e-6, rtol=1e-5)


def test_short_segments_get_a_whole_ones_length(net: MaskNet) -> None:
    assert [net.valid_length(length) for length in (0, 1000, 44100)] == [44100] * 3


def test_features_have_one_level() -> None:
    z = torch.randn(2, 2, 5, BINS, dtype=torch.complex64)
    z[:, 1] = z[:, 0]
    left, right, middle, side = features(z).unbind(1)
    torch.testing.assert_close(left, right)
    torch.testing.assert_close(left, middle)
    assert side.max() < 0.11
    torch.testing.assert_close(features(z * 1e-3), features(z))


def test_gradients_reach_every_weight() -> None:
    net = tiny_masks(1).train()
    z = net.spectra(torch.randn(2, 2, 20000))
    net.masks(z)[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@torch.inference_mode()
def test_a_source_in_the_middle_loses_all_of_the_side(net: MaskNet) -> None:
    """Masks that a mix cannot have by chance: one source gets the middle, another the side."""

    class Ideal(MaskNet):
        def masks(self, z: torch.Tensor) -> torch.Tensor:
            made = super().masks(z)
            made.zero_()
            made[0, 0] = made[1, 1] = 1.0
            return made

    ideal = Ideal(["a", "b"], channels=8, blocks=1, dim=16, layers=1).eval()
    middle, side = 0.1 * torch.randn(2, 1, 44100)
    made = ideal(torch.stack((middle + side, middle - side), 1))
    torch.testing.assert_close(made[0, 0], middle.expand(2, -1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made[0, 1], torch.cat((side, -side)), atol=1e-5, rtol=1e-4)


def test_masks_share_out_all_and_nothing_more(net: MaskNet) -> None:
    total = net.masks(net.spectra(torch.randn(1, 2, 20000))).sum(0)
    torch.testing.assert_close(total[:2], torch.ones_like(total[:2]))
    torch.testing.assert_close(total[2], torch.zeros_like(total[2]), atol=1e-5, rtol=0)
