"""A norm and a GELU over planes, against a slow and obvious twin in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from kernels.planes import CHUNK, Planes
from kernels.spans import Spans

EPS = 1e-5


def made_of(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, threads: int = 2) -> np.ndarray:
    out = np.empty_like(x)
    Planes(Spans(threads)).norm_gelu(x, weight, bias, EPS, out)
    return out


@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from([9, 65, CHUNK + 3]),
       st.integers(1, 3))  # fmt: skip
def test_norm_gelu(batch: int, channels: int, n: int, threads: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(4.0, 1.5, (batch * channels, n)).astype(np.float32)  # far from zero
    weight, bias = rng.normal(1, 0.5, (2, channels)).astype(np.float32)
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + EPS)
    value = normal * np.tile(weight, batch)[:, None] + np.tile(bias, batch)[:, None]
    truth = value * 0.5 * (1 + erf(value / np.sqrt(2)))
    np.testing.assert_allclose(made_of(x, weight, bias, threads), truth, atol=3e-5)


def test_a_plane_that_says_nothing_is_its_bias() -> None:
    ones = np.ones(1, np.float32)
    assert not made_of(np.full((1, 9), 3.0, np.float32), ones, 0 * ones).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_plane_that_is_not_finite_says_so_and_the_others_are_sound(bad: float) -> None:
    x = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    x[1, 7] = bad
    made = made_of(x, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert np.isfinite(made).all(1).tolist() == [True, False, True]
