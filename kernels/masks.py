"""Soft masks from squared magnitudes, applied to spectra.

Works on flat rows of float32; knows neither frames nor medians.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Spectra = NDArray[np.complex64]


class SoftMask:
    """How much of a bin belongs to one part: own^p / (own^p + (margin * other)^p).

    The generalised Wiener mask of `librosa.util.softmask`, taken on squared magnitudes; an
    infinite power makes it the hard mask own > margin * other. `empty` is the mask where both
    are zero (below 1e-19 in magnitude).
    """

    def __init__(self, power: float, margin: float, empty: float) -> None:
        self._exponent = np.float32(power / 2)
        self._weight = np.float32(min(margin * margin, float(np.finfo(np.float32).max)))
        self._empty = np.float32(empty)

    def apply(self, spectra: Spectra, own: Floats, other: Floats) -> Spectra:
        """`spectra` (rows, bins) times the mask of the squared medians (rows, >= bins)."""
        out = np.empty_like(spectra)
        flat = spectra.view(np.float32), out.view(np.float32)
        if self._exponent == 1:
            _wiener(*flat, own, other, self._weight, self._empty)
        elif np.isinf(self._exponent):
            _hard(*flat, own, other, self._weight)
        else:
            _general(*flat, own, other, self._weight, self._empty, self._exponent)
        return out


@njit(cache=True, nogil=True)
def squared_magnitudes(spectra, out):  # type: ignore[no-untyped-def]
    """out[r, i] = |spectra[r, i]|^2, with `spectra` as real and imaginary parts in turn."""
    for r in range(spectra.shape[0]):
        parts, squares = spectra[r], out[r]
        for i in range(spectra.shape[1] // 2):
            squares[i] = parts[2 * i] * parts[2 * i] + parts[2 * i + 1] * parts[2 * i + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _wiener(spectra, out, own, other, weight, empty):  # type: ignore[no-untyped-def]
    tiny = np.finfo(np.float32).tiny
    for r in range(spectra.shape[0]):
        parts, masked, mine, theirs = spectra[r], out[r], own[r], other[r]
        for i in range(spectra.shape[1] // 2):
            total = mine[i] + weight * theirs[i]
            mask = mine[i] / total if total >= tiny else empty
            masked[2 * i] = parts[2 * i] * mask
            masked[2 * i + 1] = parts[2 * i + 1] * mask


@njit(cache=True, nogil=True, error_model="numpy")
def _general(spectra, out, own, other, weight, empty, exponent):  # type: ignore[no-untyped-def]
    tiny = np.finfo(np.float32).tiny
    for r in range(spectra.shape[0]):
        parts, masked, mine, theirs = spectra[r], out[r], own[r], other[r]
        for i in range(spectra.shape[1] // 2):
            rival = weight * theirs[i]
            largest = max(mine[i], rival)
            mask = empty
            if largest >= tiny:
                # Relative to the larger one, so that no power can overflow.
                a = (mine[i] / largest) ** exponent
                mask = a / (a + (rival / largest) ** exponent)
            masked[2 * i] = parts[2 * i] * mask
            masked[2 * i + 1] = parts[2 * i + 1] * mask


@njit(cache=True, nogil=True)
def _hard(spectra, out, own, other, weight):  # type: ignore[no-untyped-def]
    for r in range(spectra.shape[0]):
        parts, masked, mine, theirs = spectra[r], out[r], own[r], other[r]
        for i in range(spectra.shape[1] // 2):
            mask = np.float32(mine[i] > weight * theirs[i])
            masked[2 * i] = parts[2 * i] * mask
            masked[2 * i + 1] = parts[2 * i + 1] * mask
