"""What mask networks do before and after their inverse transforms, in one pass over memory each."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.activations import FAST, f32
from kernels.samples import Floats
from kernels.spans import Spans

Spectra = NDArray[np.complex64]


class Sharing:
    """The passes, on the threads of `spans`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def share(self, z: Spectra, masks: Floats, value: NDArray[np.int64], out: Spectra) -> None:
        """Every source's spectra of left and right, from how it takes part in middle and side.

        z: (segments, 2, frames, bins), left and right; masks: (sources, 3, segments, frames,
        values), of the middle, of the side, and from each to the other; value: (bins,), which
        value is a bin's; out: (segments, sources, 2, frames, bins).
        """
        given, made = z.view(np.float32), out.view(np.float32)
        count = len(z) * z.shape[2]
        self._spans.split(count, lambda a, b: _share(given, masks, value, a, b, made))

    def overlap_add(self, frames: Floats, window: Floats, out: Floats) -> None:
        """out = the frames times the window, added up, each beginning a quarter after the last.

        frames: (rows, count, n); window: (n,); out: (rows, samples), whose first sample is the
        fourth frame's first: what lies before it is left out. Quarter q of it is in the frames q
        to q + 3, of which there must be as many.
        """
        quarters = window.reshape(4, -1)
        self._spans.split(len(out), lambda a, b: _overlap_add(frames[a:b], quarters, out[a:b]))


@njit(cache=True, nogil=True, fastmath=FAST)
def _share(z, masks, value, first, last, out):  # type: ignore[no-untyped-def]
    """Middle and side are an orthogonal turn of left and right: two gains each, one shared."""
    numbers = z.shape[3]
    left_gain, across_gain, right_gain = np.empty((3, numbers), f32)
    for row in range(first, last):
        segment, t = divmod(row, z.shape[2])
        left, right = z[segment, 0, t], z[segment, 1, t]
        for source in range(len(masks)):
            of = masks[source, :, segment, t]
            middle, side, across = of[0], of[1], of[2]
            for i in range(value.size):
                v = value[i]
                both, turn = f32(0.5) * (middle[v] + side[v]), across[v]
                left_gain[2 * i] = left_gain[2 * i + 1] = both + turn
                right_gain[2 * i] = right_gain[2 * i + 1] = both - turn
                across_gain[2 * i] = across_gain[2 * i + 1] = f32(0.5) * (middle[v] - side[v])
            to_left, to_right = out[segment, source, 0, t], out[segment, source, 1, t]
            for i in range(numbers):
                to_left[i] = left_gain[i] * left[i] + across_gain[i] * right[i]
            for i in range(numbers):
                to_right[i] = across_gain[i] * left[i] + right_gain[i] * right[i]


@njit(cache=True, nogil=True, fastmath=FAST)
def _overlap_add(frames, window, out):  # type: ignore[no-untyped-def]
    hop = window.shape[1]
    for row in range(len(out)):
        for start in range(0, out.shape[1], hop):
            to, t = out[row, start : start + hop], start // hop + 3
            oldest, older = frames[row, t - 3, 3 * hop :], frames[row, t - 2, 2 * hop :]
            newer, newest = frames[row, t - 1, hop:], frames[row, t]
            for i in range(to.size):
                to[i] = (oldest[i] * window[3, i] + older[i] * window[2, i]
                         + newer[i] * window[1, i] + newest[i] * window[0, i])  # fmt: skip
