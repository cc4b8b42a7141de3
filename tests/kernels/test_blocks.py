"""What follows a block's convolution, against a slow and obvious twin in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from kernels.blocks import Blocks
from kernels.spans import Spans


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def a_block(tokens: int, bands: int, narrow: int, channels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(bands)
    shapes = [(tokens, bands, channels)] * 2 + [(narrow, bands), (2, channels),
                                                (bands, narrow), (2, channels)]  # fmt: skip
    return [rng.normal(0, 0.7, shape).astype(np.float32) for shape in shapes]


def twin(x, made, down, norm_in, up, norm_out):  # type: ignore[no-untyped-def]
    x = x.astype(np.float64) + gelu(made.astype(np.float64))
    hidden = gelu(np.einsum("nb,tbc->tnc", down, x) * norm_in[0] + norm_in[1])
    return x + gelu(np.einsum("bn,tnc->tbc", up, hidden) * norm_out[0] + norm_out[1])


@given(st.integers(1, 5), st.integers(1, 13), st.integers(1, 6), st.integers(1, 19),
       st.integers(1, 3))  # fmt: skip
def test_finish(tokens: int, bands: int, narrow: int, channels: int, threads: int) -> None:
    x, *others = a_block(tokens, bands, narrow, channels)
    truth = twin(x, *others)
    Blocks(Spans(threads)).finish(x, *others)
    np.testing.assert_allclose(x, truth, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_token_that_is_not_finite_says_so_and_the_others_are_sound(bad: float) -> None:
    x, *others = a_block(3, 9, 2, 8)
    x[1, 7, 2] = bad
    Blocks(Spans(2)).finish(x, *others)
    assert np.isfinite(x).all((1, 2)).tolist() == [True, False, True]
