"""Quantising passes, against slow and obvious twins in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from kernels.int8 import Int8, quantised_weight
from kernels.spans import Spans

EPS = 1e-5
SHAPES = st.tuples(st.integers(0, 9), st.sampled_from([1, 3, 16, 65]), st.integers(1, 3))


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.5, shape).astype(np.float32)


def values(quantised: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    integers, scales = quantised
    assert integers.dtype == np.int8 and np.abs(integers.astype(int)).max(initial=0) <= 127
    return integers * scales[:, None].astype(np.float64)


def assert_near(made: np.ndarray, truth: np.ndarray) -> None:
    """Within half a step of each row, and a little for rounding."""
    step = np.abs(truth).max(axis=1, keepdims=True, initial=0) / 127
    assert (np.abs(made - truth) <= 0.501 * step + 1e-6).all()


@given(SHAPES)
def test_quantise(shape):
    rows, k, threads = shape
    x = numbers(rows, rows, k)
    assert_near(values(Int8(Spans(threads)).quantise(x)), x.astype(np.float64))
    assert_near(values(quantised_weight(x)), x.astype(np.float64))


@given(SHAPES)
def test_norm_quantise(shape):
    rows, k, threads = shape
    x = numbers(rows, rows, k)
    wide = x.astype(np.float64)
    truth = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + EPS)
    made = values(Int8(Spans(threads)).norm_quantise(x, EPS))
    np.testing.assert_allclose(made, truth, atol=0.51 * np.abs(truth).max(initial=0) / 127 + 1e-4)


@given(SHAPES, st.integers(0, 99))
def test_from_integers(shape, seed):
    rows, m, threads = shape
    y = np.random.default_rng(seed).integers(-(2**20), 2**20, (rows, m)).astype(np.int32)
    scales = np.abs(numbers(1, rows)) * 1e-3, np.abs(numbers(2, m)) * 1e-3
    bias, x, passes = numbers(3, m), numbers(4, rows, m), Int8(Spans(threads))
    truth = y * scales[0][:, None].astype(np.float64) * scales[1] + bias
    np.testing.assert_allclose(passes.linear(y, *scales, bias), truth, rtol=1e-5, atol=1e-5)
    assert_near(values(passes.gelu_quantise(y, *scales, bias)),
                truth * 0.5 * (1 + erf(truth / np.sqrt(2))))
    expected = x + truth
    passes.add(y, *scales, bias, x)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_says_so_and_the_others_are_sound(bad):
    x, passes = numbers(0, 3, 20), Int8(Spans(2))
    x[1, 7] = bad
    for quantised in (passes.quantise(x), passes.norm_quantise(x, EPS)):
        assert np.isfinite(quantised[1]).tolist() == [True, False, True]


def test_silence():
    for integers, scales in (Int8(Spans(1)).quantise(np.zeros((2, 5), np.float32)),
                             Int8(Spans(1)).norm_quantise(np.zeros((2, 5), np.float32), EPS)):
        assert not integers.any() and not scales.any()
