"""A transformer's passes, against slow and obvious twins in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.spans import Spans
from kernels.tokens import Tokens

STEP = 2.0**-7  # of bfloat16, between neighbours of numbers from 1 on
KINDS = pytest.mark.parametrize("kind", [np.float32, np.uint16])
SHAPES = st.tuples(st.integers(0, 9), st.sampled_from([1, 3, 16, 65]), st.integers(1, 3))


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.5, shape).astype(np.float32)


def held(x: np.ndarray, kind: type) -> np.ndarray:
    """In the type: float32, or the upper halves of what bfloat16 can hold of it."""
    return x.copy() if kind is np.float32 else (x.view(np.uint32) >> 16).astype(np.uint16)


def values(x: np.ndarray) -> np.ndarray:
    wide = x if x.dtype == np.float32 else (x.astype(np.uint32) << 16).view(np.float32)
    return wide.astype(np.float64)


def assert_near(made: np.ndarray, truth: np.ndarray) -> None:
    """To half a step of the type, and a little for float32's own rounding."""
    step = 0.0 if made.dtype == np.float32 else 0.5 * STEP
    np.testing.assert_allclose(values(made), truth, rtol=step + 3e-6, atol=3e-6)


@KINDS
@given(SHAPES)
def test_unit(kind, shape):
    rows, n, threads = shape
    x = numbers(rows, rows, n)
    out = np.empty(x.shape, kind)
    Tokens(Spans(threads)).unit(x, out)
    wide = x.astype(np.float64)
    assert_near(out, wide / np.linalg.norm(wide, axis=1, keepdims=True))


@KINDS
@given(SHAPES, st.integers(1, 4))
def test_turn(kind, shape, tokens):
    rows, half, threads = shape
    y = held(numbers(rows, rows, 4 * half + 5), kind)
    before = values(y)
    angles = numbers(1, tokens, half)
    Tokens(Spans(threads)).turn(y, 2, np.cos(angles), np.sin(angles))
    expected = before.copy()
    for row in range(rows):
        for run in (0, 2 * half):
            pairs = before[row, run : run + half] + 1j * before[row, run + half : run + 2 * half]
            turned = pairs * np.exp(1j * angles[row % tokens].astype(np.float64))
            expected[row, run : run + 2 * half] = [*turned.real, *turned.imag]
    assert_near(y, expected)
    assert (values(y)[:, 4 * half :] == before[:, 4 * half :]).all(), "the rest is left alone"


@KINDS
@given(SHAPES, st.integers(1, 4))
def test_gate(kind, shape, runs):
    rows, n, threads = shape
    y, asked = held(numbers(1, rows, runs * n), kind), held(numbers(2, rows, runs + 3), kind)
    gates = asked[:, 3:]  # as they lie: behind other numbers
    gain = 1 / (1 + np.exp(-values(gates)))
    expected = values(y) * np.repeat(gain, n, axis=1)
    Tokens(Spans(threads)).gate(y, gates)
    assert_near(y, expected)


@KINDS
def test_silence_stays_silent(kind):
    out = np.ones((2, 5), kind)
    Tokens(Spans(1)).unit(np.zeros((2, 5), np.float32), out)
    assert not out.any()


@KINDS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_says_so_and_the_others_are_sound(kind, bad):
    x, passes = numbers(0, 3, 20), Tokens(Spans(2))
    x[1, 7] = bad
    unit, turned, gated = np.empty(x.shape, kind), held(x, kind), held(x, kind)
    passes.unit(x, unit)
    passes.turn(turned, 1, np.full((1, 10), 0.6, np.float32), np.full((1, 10), 0.8, np.float32))
    passes.gate(gated, held(numbers(1, 3, 2), kind))
    for made in (unit, turned, gated):
        assert np.isfinite(values(made)).all(1).tolist() == [True, False, True]
