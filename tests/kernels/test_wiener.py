"""The filter, against the one of torch, and what it leaves as it is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.spans import Spans
from kernels.wiener import Wiener
from server.engine import wiener
from server.engine.wiener import RIDGE


def spectra(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(shape[-1])
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def refine(made: np.ndarray, shares: np.ndarray, threads: int = 1) -> np.ndarray:
    """Of stems that add up to the mix."""
    found = made.copy()
    Wiener(Spans(threads), RIDGE).refine(made.sum(1), found, shares)
    return found


@settings(max_examples=30)  # the first call compiles
@given(
    st.integers(1, 2), st.integers(1, 4), st.integers(1, 6),
    st.sampled_from([1, 2, 127, 128, 129, 300]), st.integers(1, 3), st.floats(1e-6, 1e3),
)  # fmt: skip
def test_as_torch(
    segments: int, stems: int, frames: int, bins: int, threads: int, level: float
) -> None:
    made = spectra(segments, stems, 2, frames, bins) * np.float32(level)
    shares = np.linspace(0, 1, stems + 1, dtype=np.float32)[1:]
    truth = made.copy()
    wiener.refine(*map(torch.from_numpy, (made.sum(1), truth, shares)))
    found = refine(made, shares, threads)
    np.testing.assert_allclose(found, truth, atol=3e-4 * np.abs(made).max())
    np.testing.assert_allclose(found.sum(1), made.sum(1), atol=1e-5 * np.abs(made).max())


@pytest.mark.parametrize("right", [1, -1, 0], ids=["middle", "side", "left"])
def test_stems_at_one_place_add_up_all_the_same(right: int) -> None:
    """Where they come from tells nothing there, and their covariance has no inverse but for the
    ridge."""
    made = (spectra(1, 2, 1, 5, 40) * np.array([1, right])[:, None, None]).astype(np.complex64)
    found = refine(made, np.ones(2, np.float32))
    np.testing.assert_allclose(found.sum(1), made.sum(1), atol=1e-5)
    assert np.abs(found).max() < 2 * np.abs(made).max()


def test_a_stem_whose_share_is_nothing_stays_as_it_is_to_the_bit() -> None:
    made = spectra(1, 3, 2, 4, 130)
    found = refine(made, np.array([0.5, 0, 0.25], np.float32))
    np.testing.assert_array_equal(found[:, 1], made[:, 1])
    assert (found[:, ::2] != made[:, ::2]).all()


def test_silence_stays_digital_silence() -> None:
    assert not refine(np.zeros((1, 3, 2, 4, 130), np.complex64), np.ones(3, np.float32)).any()


def test_what_is_not_finite_stays_in_its_segment() -> None:
    made = spectra(3, 2, 2, 4, 130)
    alone = refine(made[2:], np.ones(2, np.float32))
    made[1, 0, 0, 2, 7] = np.nan
    found = refine(made, np.ones(2, np.float32))
    assert np.isfinite(found).all((1, 2, 3, 4)).tolist() == [True, False, True]
    np.testing.assert_array_equal(found[2:], alone)
