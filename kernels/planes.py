"""What stands in front of a convolution over planes: their norm and a GELU, in one pass each."""

import numpy as np
from numba import njit

from kernels.activations import FAST, f32, normal_cdf
from kernels.samples import Floats
from kernels.spans import Spans

CHUNK = 4096  # numbers summed in float32 before they go into a float64


class Planes:
    """The pass, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def norm_gelu(self, x: Floats, weight: Floats, bias: Floats, eps: float, out: Floats) -> None:
        """out = GELU(norm(x) * weight + bias), plane by plane.

        x, out: (planes, n); weight, bias: (channels,), of which plane p is the one p % channels.
        As `torch.nn.InstanceNorm2d`, then `torch.nn.GELU()`.
        """
        self._spans.split(len(x), lambda a, b: _norm_gelu(x[a:b], a, weight, bias, eps, out[a:b]))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _sum(values, shift):  # type: ignore[no-untyped-def]
    total = f32(0)
    for i in range(values.size):
        total += values[i] - shift
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _squares(values, mean):  # type: ignore[no-untyped-def]
    total = f32(0)
    for i in range(values.size):
        total += (values[i] - mean) * (values[i] - mean)
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gelu(values, mean, gain, shift, out):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        v = (values[i] - mean) * gain + shift
        out[i] = v * normal_cdf(v)


@njit(cache=True, nogil=True, error_model="numpy")
def _norm_gelu(x, first, weight, bias, eps, out):  # type: ignore[no-untyped-def]
    for plane in range(len(x)):
        values, channel = x[plane], (first + plane) % len(weight)
        total, squares, start = 0.0, 0.0, values[0]
        for place in range(0, values.size, CHUNK):
            total += _sum(values[place : place + CHUNK], start)
        mean = f32(start + total / values.size)
        for place in range(0, values.size, CHUNK):
            squares += _squares(values[place : place + CHUNK], mean)
        gain = f32(weight[channel] / np.sqrt(squares / values.size + eps))
        _gelu(values, mean, gain, bias[channel], out[plane])
