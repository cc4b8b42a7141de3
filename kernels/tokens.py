"""What stands between the linear layers of a transformer with rotary positions.

Rows are tokens: float32, or bfloat16 as the uint16 that holds its bits (the upper half of a
float32's). What is computed is float32; a result is rounded to the nearest, halves to even.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.activations import FAST, f32, sigmoid
from kernels.samples import Floats
from kernels.spans import Spans

u16, u32 = np.uint16, np.uint32
Rows = NDArray[Any]  # (rows, numbers), float32 or uint16
LEAST = f32(1e-12)  # what a row is divided by where it is shorter: silence stays silent
HALF, WORD = u32(0x7FFF), u32(16)


class Tokens:
    """The passes, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def unit(self, x: Floats, out: Rows) -> None:
        """out = x / |x|, row by row; both (rows, n)."""
        work = _unit if out.dtype == np.float32 else _unit_short
        self._spans.split(len(x), lambda a, b: work(x[a:b], out[a:b]))

    def turn(self, y: Rows, parts: int, cosine: Floats, sine: Floats) -> None:
        """In place: turns the first `parts` runs of channels of each row by its token's angles.

        cosine, sine: (tokens, half a run); row r is token r % tokens. A run holds the first of
        each pair of channels, then the second of each.
        """
        work = _turn if y.dtype == np.float32 else _turn_short
        self._spans.split(len(y), lambda a, b: work(y[a:b], a, parts, cosine, sine))

    def gate(self, y: Rows, gates: Rows) -> None:
        """In place: multiplies each of a row's runs by the sigmoid of its gate.

        y: (rows, runs * n), gates: (rows, runs).
        """
        work = _gate if y.dtype == np.float32 else _gate_short
        self._spans.split(len(y), lambda a, b: work(y[a:b], gates[a:b]))


@njit(cache=True, nogil=True, inline="always")
def _widen(bits, out):  # type: ignore[no-untyped-def]
    words = out.view(u32)
    for i in range(bits.size):
        words[i] = u32(bits[i]) << WORD


@njit(cache=True, nogil=True, inline="always")
def _narrow(values, out):  # type: ignore[no-untyped-def]
    words = values.view(u32)
    for i in range(words.size):
        word = words[i]
        out[i] = u16(u32(u32(word + HALF) + u32(u32(word >> WORD) & u32(1))) >> WORD)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _unit_row(values, out):  # type: ignore[no-untyped-def]
    squares = f32(0)
    for i in range(values.size):
        squares += values[i] * values[i]
    inverse = f32(1) / max(np.sqrt(squares), LEAST)
    for i in range(values.size):
        out[i] = values[i] * inverse


@njit(cache=True, nogil=True)
def _unit(x, out):  # type: ignore[no-untyped-def]
    for row in range(len(x)):
        _unit_row(x[row], out[row])


@njit(cache=True, nogil=True)
def _unit_short(x, out):  # type: ignore[no-untyped-def]
    wide = np.empty(x.shape[1], f32)
    for row in range(len(x)):
        _unit_row(x[row], wide)
        _narrow(wide, out[row])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _turn_row(values, parts, cosine, sine):  # type: ignore[no-untyped-def]
    half = cosine.size
    for part in range(parts):
        first = values[2 * part * half : (2 * part + 1) * half]
        second = values[(2 * part + 1) * half : (2 * part + 2) * half]
        for i in range(half):
            a, b = first[i], second[i]
            first[i] = a * cosine[i] - b * sine[i]
            second[i] = b * cosine[i] + a * sine[i]


@njit(cache=True, nogil=True)
def _turn(y, place, parts, cosine, sine):  # type: ignore[no-untyped-def]
    for row in range(len(y)):
        token = (place + row) % len(cosine)
        _turn_row(y[row], parts, cosine[token], sine[token])


@njit(cache=True, nogil=True)
def _turn_short(y, place, parts, cosine, sine):  # type: ignore[no-untyped-def]
    count = 2 * parts * cosine.shape[1]
    wide = np.empty(count, f32)
    for row in range(len(y)):
        token = (place + row) % len(cosine)
        _widen(y[row, :count], wide)
        _turn_row(wide, parts, cosine[token], sine[token])
        _narrow(wide, y[row, :count])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gate_row(values, gates):  # type: ignore[no-untyped-def]
    count = values.size // gates.size
    for run in range(gates.size):
        gain = sigmoid(gates[run])
        for i in range(run * count, (run + 1) * count):
            values[i] *= gain


@njit(cache=True, nogil=True)
def _gate(y, gates):  # type: ignore[no-untyped-def]
    for row in range(len(y)):
        _gate_row(y[row], gates[row])


@njit(cache=True, nogil=True)
def _gate_short(y, gates):  # type: ignore[no-untyped-def]
    wide, wide_gates = np.empty(y.shape[1], f32), np.empty(gates.shape[1], f32)
    for row in range(len(y)):
        _widen(y[row], wide)
        _widen(gates[row], wide_gates)
        _gate_row(wide, wide_gates)
        _narrow(wide, y[row])
