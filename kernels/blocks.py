"""What follows the convolution in a mask network's block, in one pass over memory."""

import numpy as np
from numba import njit

from kernels.activations import FAST, f32, normal_cdf
from kernels.samples import Floats
from kernels.spans import Spans


class Blocks:
    """The pass, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def finish(
        self, x: Floats, made: Floats, down: Floats, norm_in: Floats, up: Floats, norm_out: Floats
    ) -> None:
        """In place: x += GELU(made), then x += GELU(norm_out(up @ GELU(norm_in(down @ x)))).

        x, made: (tokens, bands, channels), each token multiplied for itself; down: (narrow,
        bands), up: (bands, narrow); a norm: (2, channels), a factor and what is added.
        """
        norms = [np.repeat(norm[:, None], len(weight), 1).reshape(2, -1)
                 for norm, weight in ((norm_in, down), (norm_out, up))]  # fmt: skip
        self._spans.split(
            len(x), lambda a, b: _finish(x[a:b], made[a:b], down, norms[0], up, norms[1])
        )


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _finish(x, made, down, norm_in, up, norm_out):  # type: ignore[no-untyped-def]
    hidden = np.empty((len(down), x.shape[2]), f32)
    wide = np.empty((len(up), x.shape[2]), f32)
    for t in range(len(x)):
        token = x[t].reshape(-1)
        _add_gelu(made[t].reshape(-1), token)
        _multiply(down, x[t], hidden)
        _norm(hidden.reshape(-1), norm_in)
        _gelu(hidden.reshape(-1))
        _multiply(up, hidden, wide)
        _norm(wide.reshape(-1), norm_out)
        _add_gelu(wide.reshape(-1), token)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_gelu(values, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] += values[i] * normal_cdf(values[i])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gelu(values):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        values[i] *= normal_cdf(values[i])


@njit(cache=True, nogil=True, fastmath=FAST)
def _norm(values, norm):  # type: ignore[no-untyped-def]
    gain, shift = norm[0], norm[1]
    for i in range(values.size):
        values[i] = values[i] * gain[i] + shift[i]


@njit(cache=True, nogil=True, fastmath=FAST)
def _multiply(weight, x, out):  # type: ignore[no-untyped-def]
    """out = weight @ x: four rows of x at once, so that sums are not stored after every one."""
    inner = len(x)
    for n in range(len(out)):
        to, row = out[n], weight[n]
        to[:] = 0
        for k in range(0, inner - 3, 4):
            a, b, c, d = row[k], row[k + 1], row[k + 2], row[k + 3]
            xa, xb, xc, xd = x[k], x[k + 1], x[k + 2], x[k + 3]
            for i in range(to.size):
                to[i] += a * xa[i] + b * xb[i] + c * xc[i] + d * xd[i]
        for k in range(inner - inner % 4, inner):
            a, xa = row[k], x[k]
            for i in range(to.size):
                to[i] += a * xa[i]
