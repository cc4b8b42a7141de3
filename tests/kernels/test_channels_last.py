"""The passes between convolutions, against slow and obvious twins in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf, expit

from kernels.activations import normal_cdf, sigmoid
from kernels.channels_last import ChannelsLast
from kernels.spans import Spans

EPS = 1e-5
SHAPES = st.tuples(st.integers(0, 5), st.integers(1, 40), st.sampled_from([1, 2, 3, 6, 17, 48]))


def normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(var + EPS) * weight + bias


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def glu(y: np.ndarray) -> np.ndarray:
    a, b = np.split(y, 2, axis=-1)
    return a * expit(b)


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.5, shape).astype(np.float32)


@pytest.mark.parametrize(("ours", "truth"), [
    (sigmoid, expit), (normal_cdf, lambda x: 0.5 * (1 + erf(x / np.sqrt(2)))),
], ids=["sigmoid", "normal_cdf"])
def test_activations_on_their_whole_range(ours, truth):
    x = np.concatenate([np.linspace(-30, 30, 20001), [-1e30, 1e30, -np.inf, np.inf, 0]])
    x = x.astype(np.float32)
    made = np.array([ours(value) for value in x])
    np.testing.assert_allclose(made, truth(x.astype(np.float64)), atol=2.5e-7)


@given(SHAPES, st.integers(1, 4), st.integers(0, 99))
def test_norm_gelu(shape, threads, seed):
    h, weight, bias = numbers(seed, *shape), numbers(1, shape[2]), numbers(2, shape[2])
    expected = gelu(normed(h, weight, bias))
    ChannelsLast(Spans(threads)).norm_gelu(h, weight, bias, EPS)
    np.testing.assert_allclose(h, expected, atol=1e-4, rtol=1e-4)


@given(SHAPES, st.integers(1, 4), st.integers(0, 99))
def test_norm_glu_add(shape, threads, seed):
    rows, n, channels = shape
    y, x = numbers(seed, rows, n, 2 * channels), numbers(3, rows, n, channels)
    weight, bias, scale = (numbers(k, size) for k, size in
                           ((4, 2 * channels), (5, 2 * channels), (6, channels)))
    expected = x + glu(normed(y, weight, bias)) * scale
    ChannelsLast(Spans(threads)).norm_glu_add(y, weight, bias, scale, EPS, x)
    np.testing.assert_allclose(x, expected, atol=1e-4, rtol=1e-4)


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 4))
def test_glu_and_gelu(n, channels, threads):
    y, passes = numbers(n, n, 2 * channels), ChannelsLast(Spans(threads))
    out = np.empty((n, channels), np.float32)
    passes.glu(y, out)
    np.testing.assert_allclose(out, glu(y.astype(np.float64)), atol=2e-6)
    expected = gelu(y.astype(np.float64)).ravel()
    flat = y.reshape(-1)
    passes.gelu(flat)
    np.testing.assert_allclose(flat, expected, atol=2e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 4])
def test_what_is_not_finite_stays_so_and_in_its_row(bad, rows):
    h, weight, bias = numbers(0, rows, 9, 6), numbers(1, 6), numbers(2, 6)
    clean = h.copy()
    h[0, 4, 2] = bad
    for array in (h, clean):
        ChannelsLast(Spans(2)).norm_gelu(array, weight, bias, EPS)
    assert np.isnan(h[0]).any()
    np.testing.assert_array_equal(h[1:], clean[1:])


def test_a_result_does_not_depend_on_the_threads_but_by_rounding():
    long = numbers(0, 1, 20000, 12)
    made = []
    for threads in (1, 3):
        h = long.copy()
        ChannelsLast(Spans(threads)).norm_gelu(h, numbers(1, 12), numbers(2, 12), EPS)
        made.append(h)
    np.testing.assert_allclose(*made, atol=1e-5)


@given(st.integers(1, 40), st.integers(0, 5), st.integers(1, 4), st.integers(1, 3))
def test_spectra(bands, frames, n, threads):
    x = numbers(bands, bands, frames, 2 * n)
    made = np.full((n, frames, bands + 1), 7, np.complex64)
    ChannelsLast(Spans(threads)).spectra(x, 0.25, 3.0, made)
    wide = x.astype(np.float64) * 3 + 0.25
    truth = (wide[..., 0::2] + 1j * wide[..., 1::2]).transpose(2, 1, 0)
    np.testing.assert_allclose(made[..., :-1], truth, rtol=1e-5, atol=1e-5)
    assert not made[..., -1].any()
