"""Downmixing and cleaning of blocks, against the equations written out."""

import numpy as np
import pytest

from server.audio.sources.headers import layouts
from server.audio.stereo import LIMIT, interleaved, mixing_matrix, planar, to_stereo

SURROUND = ("FL", "FR", "FC", "LFE", "SL", "SR")
ALL_LAYOUTS = [
    ("FL", "FR", "FC"), ("FL", "FR", "BC"), ("FL", "FR", "LFE"), ("FL", "FR", "BL", "BR"),
    ("FL", "FR", "FC", "BC"), ("FL", "FR", "FC", "SL", "SR"), SURROUND,
    ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
    ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC"),
]  # fmt: skip


def noise(channels: int, samples: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (samples, channels)).astype(np.float32)


def test_five_point_one_by_the_equations_of_bs_775() -> None:
    block = noise(6)
    left, right, centre, _, left_surround, right_surround = block.astype(np.float64).T
    scale = 1 / (1 + 2 * 0.5**0.5)
    mixed = to_stereo(block, SURROUND)
    expected_left = scale * (left + 0.5**0.5 * centre + 0.5**0.5 * left_surround)
    expected_right = scale * (right + 0.5**0.5 * centre + 0.5**0.5 * right_surround)
    assert mixed.dtype == np.float32
    assert np.abs(mixed - np.stack([expected_left, expected_right], 1)).max() < 1e-6


@pytest.mark.parametrize("layout", ALL_LAYOUTS, ids=len)
def test_full_scale_cannot_become_more(layout: tuple[str, ...]) -> None:
    worst = np.ones((10, len(layout)), np.float32)
    assert np.abs(to_stereo(worst, layout)).max() == pytest.approx(1.0)


@pytest.mark.parametrize("channels", range(3, 9))
def test_unnamed_channels_have_the_order_of_wav(channels: int) -> None:
    matrix = mixing_matrix(("NONE",) * channels)
    assert matrix.shape == (channels, 2)
    assert matrix[0, 0] == matrix[1, 1] > 0 == matrix[0, 1] == matrix[1, 0]
    assert np.allclose(matrix.sum(axis=0), 1)
    if channels >= 6:
        assert not matrix[3].any()  # the low-frequency effects


def test_a_channel_of_no_known_place_is_heard() -> None:
    matrix = mixing_matrix(("FL", "FR", "NONE", "LFE"))
    assert matrix[2, 0] == matrix[2, 1] > 0
    assert not matrix[3].any()


@pytest.mark.parametrize("layout", sorted(set(layouts._TAGS.values())))
def test_every_channel_of_core_audio_s_layouts_has_a_place(layout: str) -> None:
    names = layout.split()
    matrix = mixing_matrix(tuple(names))
    silent = [name for name, shares in zip(names, matrix, strict=True) if not shares.any()]
    assert set(silent) <= {"LFE"} and len(set(names)) == len(names)
    if "FC" in names:
        assert (matrix[names.index("FC")] > 0).all()


def test_one_and_two_channels_are_not_mixed() -> None:
    mono, stereo = noise(1), noise(2)
    assert np.array_equal(to_stereo(mono, ("FC",)), np.repeat(mono, 2, axis=1))
    assert np.array_equal(to_stereo(stereo, ("DL", "LFE")), stereo)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_becomes_silence(bad: float) -> None:
    block = noise(6)
    block[3, :] = bad
    block[5, 1] = bad
    mixed = to_stereo(block, SURROUND)
    assert not mixed[3].any()
    clean = np.where(np.isfinite(block), block, 0)
    assert np.array_equal(mixed, to_stereo(clean, SURROUND))


def test_absurd_levels_are_limited() -> None:
    block = np.array([[3e38, -3e38], [1.5, -7.5], [1e-42, 0]], np.float32)
    assert to_stereo(block, ("FL", "FR")).tolist() == pytest.approx(
        np.array([[LIMIT, -LIMIT], [1.5, -7.5], [1e-42, 0]])
    )


def test_layouts_of_memory() -> None:
    frames = noise(2, 1000)
    block = planar(frames)
    assert block.flags.c_contiguous
    assert np.array_equal(block, frames.T)
    assert np.array_equal(interleaved(*block), frames)
