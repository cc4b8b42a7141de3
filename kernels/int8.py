"""What stands between a transformer's linear layers when those multiply 8-bit integers.

Rows are tokens. A row of float32 becomes int8 and one scale, its largest magnitude / 127; what
an integer product gives becomes float32 again by the row's scale and the output's own. A row
that is not finite has a scale that is not.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.activations import FAST, f32, normal_cdf
from kernels.samples import Floats
from kernels.spans import Spans

Bytes = NDArray[np.int8]
Quantised = tuple[Bytes, Floats]  # int8 (rows, k), float32 (rows,)
Integers = NDArray[np.int32]
MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits of a float32 but its sign


def quantised_weight(weight: Floats) -> Quantised:
    """A layer's weight (out, in), each output by itself."""
    out = np.empty(weight.shape, np.int8), np.empty(len(weight), np.float32)
    _quantise(weight, *out)
    return out


class Int8:
    """The passes, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def quantise(self, x: Floats) -> Quantised:
        """x: (rows, k)."""
        out = np.empty(x.shape, np.int8), np.empty(len(x), np.float32)
        self._spans.split(len(x), lambda a, b: _quantise(x[a:b], out[0][a:b], out[1][a:b]))
        return out

    def norm_quantise(self, x: Floats, eps: float) -> Quantised:
        """A layer norm without weights, then quantised; x: (rows, k)."""
        out = np.empty(x.shape, np.int8), np.empty(len(x), np.float32)
        self._spans.split(
            len(x), lambda a, b: _norm_quantise(x[a:b], eps, out[0][a:b], out[1][a:b])
        )
        return out

    def linear(self, y: Integers, rows: Floats, columns: Floats, bias: Floats) -> Floats:
        """y * rows * columns + bias; y: (n, m), rows: (n,), columns, bias: (m,)."""
        out = np.empty(y.shape, np.float32)
        self._spans.split(
            len(y), lambda a, b: _linear(y[a:b], rows[a:b], columns, bias, out[a:b])
        )
        return out

    def add(self, y: Integers, rows: Floats, columns: Floats, bias: Floats, x: Floats) -> None:
        """In place: x += y * rows * columns + bias."""
        self._spans.split(len(y), lambda a, b: _add(y[a:b], rows[a:b], columns, bias, x[a:b]))

    def gelu_quantise(
        self, y: Integers, rows: Floats, columns: Floats, bias: Floats
    ) -> Quantised:
        """GELU(y * rows * columns + bias), quantised again."""
        out = np.empty(y.shape, np.int8), np.empty(len(y), np.float32)
        self._spans.split(len(y), lambda a, b: _gelu_quantise(
            y[a:b], rows[a:b], columns, bias, out[0][a:b], out[1][a:b]))
        return out


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _quantise_row(x, out):  # type: ignore[no-untyped-def]
    """Fills `out`; returns the scale. Zeros have the scale 0."""
    bits, highest = x.view(np.int32), np.int32(0)
    for i in range(x.size):
        # Magnitudes are ordered as the integers that hold them, NaN above all.
        highest = max(highest, np.int32(bits[i] & MAGNITUDE))
    top = np.int32(highest)
    largest = top.view(np.float32)
    inverse = f32(127) / largest if largest > 0 else f32(0)
    for i in range(x.size):
        out[i] = np.int8(np.int32(x[i] * inverse + f32(128.5)) - np.int32(128))
    return largest / f32(127)


@njit(cache=True, nogil=True)
def _quantise(x, out, scales):  # type: ignore[no-untyped-def]
    for row in range(len(x)):
        scales[row] = _quantise_row(x[row], out[row])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _norm_quantise(x, eps, out, scales):  # type: ignore[no-untyped-def]
    centred = np.empty(x.shape[1], np.float32)
    for row in range(len(x)):
        values, total, squares = x[row], f32(0), f32(0)
        for i in range(values.size):
            total += values[i]
        mean = total / f32(values.size)
        for i in range(values.size):
            centred[i] = values[i] - mean
            squares += centred[i] * centred[i]
        deviation = np.sqrt(squares / f32(values.size) + f32(eps))
        scales[row] = _quantise_row(centred, out[row]) / deviation


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _linear(y, rows, columns, bias, out):  # type: ignore[no-untyped-def]
    for row in range(len(y)):
        integers, scale, values = y[row], rows[row], out[row]
        for i in range(values.size):
            values[i] = f32(integers[i]) * (scale * columns[i]) + bias[i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add(y, rows, columns, bias, x):  # type: ignore[no-untyped-def]
    for row in range(len(y)):
        integers, scale, values = y[row], rows[row], x[row]
        for i in range(values.size):
            values[i] += f32(integers[i]) * (scale * columns[i]) + bias[i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gelu_quantise(y, rows, columns, bias, out, scales):  # type: ignore[no-untyped-def]
    values = np.empty(y.shape[1], np.float32)
    for row in range(len(y)):
        integers, scale = y[row], rows[row]
        for i in range(values.size):
            v = f32(integers[i]) * (scale * columns[i]) + bias[i]
            values[i] = v * normal_cdf(v)
        scales[row] = _quantise_row(values, out[row])
