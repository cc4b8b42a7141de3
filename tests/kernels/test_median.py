"""Sliding medians against SciPy, and against the twin where SciPy cannot be trusted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from kernels.median import ColumnMedian, RowMedian, aligned_zeros, padded_width, reflect
from tests.kernels import twins

shapes = st.tuples(st.integers(1, 40), st.integers(1, 200))


def rows(values, size):
    """Whole-matrix face of `RowMedian`, with mirrored edges."""
    count, columns = values.shape
    filter_ = RowMedian(size)
    tiles = -(-count // filter_.tile) * filter_.tile
    source = aligned_zeros(tiles + size - 1, padded_width(columns))
    out = aligned_zeros(tiles, padded_width(columns))
    order = reflect(np.arange(count + size - 1) - size // 2, count)
    source[: len(order), :columns] = values[order]
    filter_.filter(source, count, out)
    return out[:count, :columns]


def columns(values, size):
    out = np.empty_like(values)
    ColumnMedian(size, values.shape[1], values.shape[0]).filter(values, out)
    return out


@given(shape=shapes, size=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=twins.examples(40))
def test_equal_to_the_twin(shape, size, seed):
    # Few different values, so that ties are common.
    values = np.random.default_rng(seed).integers(0, 50, shape).astype(np.float32)
    np.testing.assert_array_equal(rows(values, size), twins.median(values, size, axis=0))
    np.testing.assert_array_equal(columns(values, size), twins.median(values, size, axis=1))


@pytest.mark.parametrize("size", [2, 3, 16, 31])
def test_equal_to_scipy(size):
    values = np.random.default_rng(size).random((37, 65), np.float32)
    down = median_filter(values, (size, 1), mode="reflect")
    along = median_filter(values, (1, size), mode="reflect")
    np.testing.assert_array_equal(rows(values, size), down)
    np.testing.assert_array_equal(columns(values, size), along)


def test_infinities_are_numbers_too():
    values = np.random.default_rng(0).random((20, 30), np.float32)
    values[3:9, 4:20] = np.inf
    np.testing.assert_array_equal(rows(values, 5), twins.median(values, 5, axis=0))
    np.testing.assert_array_equal(columns(values, 5), twins.median(values, 5, axis=1))


@given(length=st.integers(1, 9), reach=st.integers(0, 40))
def test_reflect_is_symmetric_padding(length, reach):
    wanted = np.pad(np.arange(length), reach, mode="symmetric")
    np.testing.assert_array_equal(reflect(np.arange(-reach, length + reach), length), wanted)


def test_matrices_start_on_a_cache_line():
    for columns_ in range(1, 9):
        assert aligned_zeros(3, columns_).ctypes.data % 64 == 0
