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
                _refine(mix[segment], stems[segment], a, b, shares, self._ridge)

        self._spans.split(len(z) * blocks, work)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _refine(mix, stems, first, last, shares, ridge):  # type: ignore[no-untyped-def]
    """mix: (2, frames, numbers), stems: (stems, 2, frames, numbers); two numbers are a bin, of
    which those from the first to before the last are filtered."""
    places = _places(stems, first, last, ridge)
    bins, start, end = last - first, 2 * first, 2 * last
    level = np.empty((len(stems), bins), f32)
    # Few arrays of several rows in place of many rows: a compiler gives up on what may overlap
    # where there is too much of it.
    within = np.empty((4, bins), f32)  # the mix's covariance, then its inverse times the mix
    missing = np.empty((4, bins), f32)  # what the stems leave of the mix
    gains = shares / shares.sum()
    for t in range(mix.shape[1]):
        within[:] = f32(0)
        for stem in range(len(stems)):
            left, right = stems[stem, 0, t, start:end], stems[stem, 1, t, start:end]
            for i in range(bins):
                j = 2 * i
                loud = np.sqrt(f32(0.5) * (
                    left[j] * left[j] + left[j + 1] * left[j + 1]
                    + right[j] * right[j] + right[j + 1] * right[j + 1]
                ))  # fmt: skip
                level[stem, i] = loud
                within[0, i] += loud * places[stem, 0, i]
                within[1, i] += loud * places[stem, 1, i]
                within[2, i] += loud * places[stem, 2, i]
                within[3, i] += loud * places[stem, 3, i]
        left, right = mix[0, t, start:end], mix[1, t, start:end]
        for i in range(bins):
            j = 2 * i
            x, y, u, v = left[j], left[j + 1], right[j], right[j + 1]
            a, d, b, c = within[0, i], within[1, i], within[2, i], within[3, i]
            over = f32(1) / max(a * d - b * b - c * c, TINY)
            missing[0, i], missing[1, i], missing[2, i], missing[3, i] = x, y, u, v
            within[0, i] = over * (d * x - b * u + c * v)
            within[1, i] = over * (d * y - b * v - c * u)
            within[2, i] = over * (a * u - b * x - c * y)
            within[3, i] = over * (a * v - b * y + c * x)
        for stem in range(len(stems)):
            left, right = stems[stem, 0, t, start:end], stems[stem, 1, t, start:end]
            share, kept = shares[stem], f32(1) - shares[stem]
            for i in range(bins):
                j, w = 2 * i, share * level[stem, i]
                of_left, of_right = places[stem, 0, i], places[stem, 1, i]
                real, imag = places[stem, 2, i], places[stem, 3, i]
                a, b, c, d = within[0, i], within[1, i], within[2, i], within[3, i]
                x = kept * left[j] + w * (of_left * a + real * c - imag * d)
                y = kept * left[j + 1] + w * (of_left * b + real * d + imag * c)
                u = kept * right[j] + w * (of_right * c + real * a + imag * b)
                v = kept * right[j + 1] + w * (of_right * d + real * b - imag * a)
                left[j], left[j + 1], right[j], right[j + 1] = x, y, u, v
                missing[0, i] -= x
                missing[1, i] -= y
                missing[2, i] -= u
                missing[3, i] -= v
        for stem in range(len(stems)):
            left, right = stems[stem, 0, t, start:end], stems[stem, 1, t, start:end]
            gain = gains[stem]
            for i in range(bins):
                j = 2 * i
                left[j] += gain * missing[0, i]
                left[j + 1] += gain * missing[1, i]
                right[j] += gain * missing[2, i]
                right[j + 1] += gain * missing[3, i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _places(stems, first, last, ridge):  # type: ignore[no-untyped-def]
    """Each stem's covariance between the channels, over its level: (stems, 4, bins), of the left,
    of the right, and real and imaginary part of left times right's conjugate."""
    bins, start, end = last - first, 2 * first, 2 * last
    places = np.zeros((len(stems), 4, bins), f32)
    inside = np.empty(bins, f32)
    for stem in range(len(stems)):
        inside[:] = TINY
        for t in range(stems.shape[2]):
            left, right = stems[stem, 0, t, start:end], stems[stem, 1, t, start:end]
            for i in range(bins):
                j = 2 * i
                x, y, u, v = left[j], left[j + 1], right[j], right[j + 1]
                power, other = x * x + y * y, u * u + v * v
                inside[i] += np.sqrt(f32(0.5) * (power + other))
                places[stem, 0, i] += power
                places[stem, 1, i] += other
                places[stem, 2, i] += x * u + y * v
                places[stem, 3, i] += y * u - x * v
        for i in range(bins):
            over = f32(1) / inside[i]
            spread = f32(0.5) * ridge * (places[stem, 0, i] + places[stem, 1, i])
            places[stem, 0, i] = over * (places[stem, 0, i] + spread)
            places[stem, 1, i] = over * (places[stem, 1, i] + spread)
            places[stem, 2, i] *= over
            places[stem, 3, i] *= over
    return places
