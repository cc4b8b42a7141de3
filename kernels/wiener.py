"""A multichannel Wiener filter over the stems of a song, block by block of its bins.

A block of all frames and stems stays in the cache for both passes: what each stem's places
between the channels are, and what follows for every frame.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.activations import FAST, f32
from kernels.samples import Floats
from kernels.spans import Spans

BINS = 128  # of a block, at most
TINY = f32(1e-30)  # keeps quotients of silence finite

Spectra = NDArray[np.complex64]


class Wiener:
    """The filter, on the threads of `spans`."""

    def __init__(self, spans: Spans, ridge: float) -> None:
        """ridge: how much of a stem comes from everywhere, of its mean power."""
        self._spans, self._ridge = spans, f32(ridge)

    def refine(self, z: Spectra, made: Spectra, shares: Floats) -> None:
        """Filters `made` in place; its stems then add up to z.

        z: (segments, 2, frames, bins), the mix; made: (segments, stems, 2, frames, bins), which
        add up to it; shares: (stems,), not all 0: how much of the filter's answer goes into each;
        a stem whose share is 0 stays as it is.
        """
        mix, stems, count = z.view(np.float32), made.view(np.float32), z.shape[-1]
        blocks = -(-count // BINS)

        def work(first: int, last: int) -> None:
            for place in range(first, last):
                segment, block = divmod(place, blocks)
                a, b = count * block // blocks, count * (block + 1) // blocks
                _refine(mix[segment, ..., 2 * a : 2 * b], stems[segment, ..., 2 * a : 2 * b],
                        shares, self._ridge)  # fmt: skip

        self._spans.split(len(z) * blocks, work)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _refine(mix, stems, shares, ridge):  # type: ignore[no-untyped-def]
    """mix: (2, frames, numbers), stems: (stems, 2, frames, numbers); two numbers are a bin."""
    places = _places(stems, ridge)
    bins = mix.shape[2] // 2
    level = np.empty((len(stems), bins), f32)
    # of the mix: its covariance, then its inverse times the mix
    a, b, c, d = np.empty((4, bins), f32)
    x, y, u, v = np.empty((4, bins), f32)  # what the stems leave of the mix
    gains = shares / shares.sum()
    for t in range(mix.shape[1]):
        a[:], b[:], c[:], d[:] = TINY, f32(0), f32(0), TINY
        for stem in range(len(stems)):
            left, right, loud = stems[stem, 0, t], stems[stem, 1, t], level[stem]
            of_left, of_right, real, imag = places[stem]
            for i in range(bins):
                j = 2 * i
                loud[i] = np.sqrt(f32(0.5) * (
                    left[j] * left[j] + left[j + 1] * left[j + 1]
                    + right[j] * right[j] + right[j + 1] * right[j + 1]
                ))  # fmt: skip
                a[i] += loud[i] * of_left[i]
                b[i] += loud[i] * real[i]
                c[i] += loud[i] * imag[i]
                d[i] += loud[i] * of_right[i]
        left, right = mix[0, t], mix[1, t]
        for i in range(bins):
            j = 2 * i
            x[i], y[i], u[i], v[i] = left[j], left[j + 1], right[j], right[j + 1]
            over = f32(1) / max(a[i] * d[i] - b[i] * b[i] - c[i] * c[i], TINY)
            a[i], b[i], c[i], d[i] = (
                over * (d[i] * x[i] - b[i] * u[i] + c[i] * v[i]),
                over * (d[i] * y[i] - b[i] * v[i] - c[i] * u[i]),
                over * (a[i] * u[i] - b[i] * x[i] - c[i] * y[i]),
                over * (a[i] * v[i] - b[i] * y[i] + c[i] * x[i]),
            )
        for stem in range(len(stems)):
            left, right, loud = stems[stem, 0, t], stems[stem, 1, t], level[stem]
            of_left, of_right, real, imag = places[stem]
            share = shares[stem]
            if share != 0:
                for i in range(bins):
                    j, w = 2 * i, share * loud[i]
                    left[j] += w * (
                        of_left[i] * a[i] + real[i] * c[i] - imag[i] * d[i]
                    ) - share * left[j]  # fmt: skip
                    left[j + 1] += w * (
                        of_left[i] * b[i] + real[i] * d[i] + imag[i] * c[i]
                    ) - share * left[j + 1]  # fmt: skip
                    right[j] += w * (
                        of_right[i] * c[i] + real[i] * a[i] + imag[i] * b[i]
                    ) - share * right[j]  # fmt: skip
                    right[j + 1] += w * (
                        of_right[i] * d[i] + real[i] * b[i] - imag[i] * a[i]
                    ) - share * right[j + 1]  # fmt: skip
            for i in range(bins):
                j = 2 * i
                x[i] -= left[j]
                y[i] -= left[j + 1]
                u[i] -= right[j]
                v[i] -= right[j + 1]
        for stem in range(len(stems)):
            left, right, gain = stems[stem, 0, t], stems[stem, 1, t], gains[stem]
            if gain != 0:
                for i in range(bins):
                    j = 2 * i
                    left[j] += gain * x[i]
                    left[j + 1] += gain * y[i]
                    right[j] += gain * u[i]
                    right[j + 1] += gain * v[i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _places(stems, ridge):  # type: ignore[no-untyped-def]
    """Each stem's covariance between the channels, over its level: (stems, 4, bins), of the left,
    of the right, and real and imaginary part of left times right's conjugate."""
    bins = stems.shape[3] // 2
    places = np.zeros((len(stems), 4, bins), f32)
    inside = np.empty(bins, f32)
    for stem in range(len(stems)):
        of_left, of_right, real, imag = places[stem]
        inside[:] = TINY
        for t in range(stems.shape[2]):
            left, right = stems[stem, 0, t], stems[stem, 1, t]
            for i in range(bins):
                j = 2 * i
                x, y, u, v = left[j], left[j + 1], right[j], right[j + 1]
                power, other = x * x + y * y, u * u + v * v
                inside[i] += np.sqrt(f32(0.5) * (power + other))
                of_left[i] += power
                of_right[i] += other
                real[i] += x * u + y * v
                imag[i] += y * u - x * v
        for i in range(bins):
            over = f32(1) / inside[i]
            spread = f32(0.5) * ridge * (of_left[i] + of_right[i])
            of_left[i], of_right[i] = over * (of_left[i] + spread), over * (of_right[i] + spread)
            real[i], imag[i] = over * real[i], over * imag[i]
    return places
