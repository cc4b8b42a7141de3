"""What stands between the convolutions of a separation model, each in one pass over memory.

Arrays are float32 (rows, n, channels), contiguous: channels last. A row is what a group norm of
one group normalises together. Works in place where it can.
"""

from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.activations import FAST, f32, normal_cdf, sigmoid
from kernels.samples import Floats
from kernels.spans import Spans

Spectra = NDArray[np.complex64]
CHUNK = 8192  # numbers summed in float32 before they go into a float64
BLOCK = 16  # bands that are turned around at once
PATTERN = 512  # fewest numbers of one inner loop, whatever the number of channels


class ChannelsLast:
    """The passes, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def norm_gelu(self, h: Floats, weight: Floats, bias: Floats, eps: float) -> None:
        """In place: h = GELU(norm(h) * weight + bias), each row normalised over all of it.

        weight, bias: (channels,). As `torch.nn.GroupNorm(1, channels)`, then `torch.nn.GELU()`.
        """
        times = -(-PATTERN // h.shape[2])  # an inner loop over 6 channels would be no vector code
        weight, bias = np.tile(weight, times), np.tile(bias, times)
        if len(h) >= self._spans.threads:
            self._spans.split(len(h), lambda a, b: _norm_gelu(h[a:b], weight, bias, eps))
            return
        for row in h:
            mean, inverse = self._stats(row, eps)
            self._spans.split(len(row), partial(_part_gelu, row, mean, weight * inverse, bias))

    def norm_glu_add(
        self, y: Floats, weight: Floats, bias: Floats, scale: Floats, eps: float, x: Floats
    ) -> None:
        """In place: x += GLU(norm(y) * weight + bias) * scale.

        y: (rows, n, 2 * channels); weight, bias: (2 * channels,); scale: (channels,).
        As GroupNorm(1, 2 * channels), GLU over the channels and demucs's LayerScale.
        """
        whole = np.concatenate([scale, np.ones_like(scale)])
        weight, bias = weight * whole, bias * whole  # the first half of a GLU is linear
        if len(y) >= self._spans.threads:
            self._spans.split(len(y), lambda a, b: _norm_glu_add(y[a:b], weight, bias, eps, x[a:b]))
            return
        for row, out in zip(y, x, strict=True):
            mean, inverse = self._stats(row, eps)
            gain = weight * inverse
            self._spans.split(len(row), partial(_part_glu_add, row, mean, gain, bias, out))

    def gelu(self, x: Floats) -> None:
        """In place: x = GELU(x); x: (n,)."""
        self._spans.split(len(x), lambda first, last: _plain_gelu(x[first:last]))

    def glu(self, y: Floats, out: Floats) -> None:
        """out = GLU(y) over the last axis; y: (n, 2 * channels), out: (n, channels)."""
        self._spans.split(len(y), lambda first, last: _glu(y[first:last], out[first:last]))

    def spectra(self, x: Floats, mean: float, std: float, out: Spectra) -> None:
        """Channels first again, for the inverse transforms: out = x * std + mean.

        x: (bands, frames, 2 * n), real and imaginary parts in turn; out: complex64
        (n, frames, bands + 1). The highest bin, which x leaves out, is zero.
        """
        numbers, parts = (np.float32(mean), np.float32(std)), out.view(np.float32)
        self._spans.split(x.shape[1], lambda a, b: _spectra(x, *numbers, a, b, parts))

    def _stats(self, row: Floats, eps: float) -> tuple[np.float32, np.float32]:
        """Mean and one over the deviation of one long row, summed by all threads."""
        parts = self._spans.split(len(row), lambda a, b: _sums(row[a:b].reshape(-1), row[0, 0]))
        total, squares = np.sum(parts, axis=0)
        return _mean_and_inverse(total, squares, row.size, row[0, 0], eps)


def _part_gelu(row: Floats, mean: f32, gain: Floats, bias: Floats, a: int, b: int) -> None:
    _gelu(row[a:b].reshape(-1), mean, gain, bias)


def _part_glu_add(
    row: Floats, mean: f32, gain: Floats, bias: Floats, out: Floats, a: int, b: int
) -> None:
    _glu_add(row[a:b], mean, gain, bias, out[a:b])


@njit(cache=True, nogil=True, error_model="numpy")
def _norm_gelu(h, weight, bias, eps):  # type: ignore[no-untyped-def]
    for row in range(len(h)):
        flat = h[row].reshape(-1)
        total, squares = _sums(flat, flat[0])
        mean, inverse = _mean_and_inverse(total, squares, flat.size, flat[0], eps)
        _gelu(flat, mean, weight * inverse, bias)


@njit(cache=True, nogil=True, error_model="numpy")
def _norm_glu_add(y, weight, bias, eps, x):  # type: ignore[no-untyped-def]
    for row in range(len(y)):
        flat = y[row].reshape(-1)
        total, squares = _sums(flat, flat[0])
        mean, inverse = _mean_and_inverse(total, squares, flat.size, flat[0], eps)
        _glu_add(y[row], mean, weight * inverse, bias, x[row])


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_and_inverse(total, squares, count, pivot, eps):  # type: ignore[no-untyped-def]
    """From the sums: float32 mean, and one over the deviation."""
    mean = total / count
    inverse = 1 / np.sqrt(max(squares / count - mean * mean, 0.0) + eps)
    return f32(pivot + mean), f32(inverse)


@njit(cache=True, nogil=True, fastmath=FAST)
def _sums(y, pivot):  # type: ignore[no-untyped-def]
    """Sum and sum of squares of y - pivot: around a value of their own, so that numbers that
    are nearly equal keep their small differences."""
    total, squares = 0.0, 0.0
    for start in range(0, y.size, CHUNK):
        part = y[start : start + CHUNK]
        some, some_squares = f32(0), f32(0)
        for i in range(part.size):
            difference = part[i] - pivot
            some += difference
            some_squares += difference * difference
        total += float(some)
        squares += float(some_squares)
    return total, squares


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gelu(h, mean, gain, bias):  # type: ignore[no-untyped-def]
    """h = GELU((h - mean) * gain + bias), gain and bias again and again."""
    for start in range(0, h.size, gain.size):
        part = h[start : start + gain.size]
        for i in range(part.size):
            v = (part[i] - mean) * gain[i] + bias[i]
            part[i] = v * normal_cdf(v)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _plain_gelu(x):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        x[i] *= normal_cdf(x[i])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _glu_add(y, mean, gain, bias, x):  # type: ignore[no-untyped-def]
    channels = x.shape[1]
    gain_a, gain_b = gain[:channels], gain[channels:]
    bias_a, bias_b = bias[:channels], bias[channels:]
    for t in range(len(x)):
        a, b, out = y[t, :channels], y[t, channels:], x[t]
        for c in range(channels):
            u, v = a[c] - mean, b[c] - mean
            out[c] += (u * gain_a[c] + bias_a[c]) * sigmoid(v * gain_b[c] + bias_b[c])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _glu(y, out):  # type: ignore[no-untyped-def]
    channels = out.shape[1]
    for t in range(len(out)):
        a, b, o = y[t, :channels], y[t, channels:], out[t]
        for c in range(channels):
            o[c] = a[c] * sigmoid(b[c])


@njit(cache=True, nogil=True, fastmath=FAST)
def _spectra(x, mean, std, first, last, out):  # type: ignore[no-untyped-def]
    bands, _, channels = x.shape
    for t in range(first, last):
        for start in range(0, bands, BLOCK):  # few enough that every line is read once
            stop = min(start + BLOCK, bands)
            for c in range(channels // 2):
                to = out[c, t]
                for f in range(start, stop):
                    to[2 * f] = x[f, t, 2 * c] * std + mean
                    to[2 * f + 1] = x[f, t, 2 * c + 1] * std + mean
        for c in range(channels // 2):
            out[c, t, 2 * bands] = 0
            out[c, t, 2 * bands + 1] = 0
