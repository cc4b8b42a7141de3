"""Sliding medians of float32 matrices, down the rows or along them, by selection networks.

Owns the vectorised loops; knows nothing of audio.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.network import BOTH, LOW, median_network

Floats = NDArray[np.float32]

# Columns handled at once. Unsigned, as every index below: numba lets a signed index count from
# the end, and that test in the inner loops keeps LLVM from vectorising them.
LANES = np.uint64(128)


def padded_width(columns: int) -> int:
    """The next multiple of the lane count: matrices handed to `RowMedian` must be this wide."""
    return -(-columns // int(LANES)) * int(LANES)


def aligned_zeros(*shape: int) -> Floats:
    """Zeros that start on a cache line: vectors that straddle two lines cost half as much again."""
    line = 64
    raw = np.zeros(4 * math.prod(shape) + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start : start + 4 * math.prod(shape)].view(np.float32).reshape(shape)


def reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Fold indices into 0 .. length - 1, mirrored at the edges (d c b a | a b c d | d c b a)."""
    folded = np.mod(index, 2 * length)
    mirrored: NDArray[np.int64] = np.minimum(folded, 2 * length - 1 - folded)
    return mirrored


class RowMedian:
    """Medians of `size` consecutive rows, column by column."""

    def __init__(self, size: int) -> None:
        self._network = _Network(size)
        self.tile = self._network.tile

    def filter(self, source: Floats, count: int, out: Floats) -> None:
        """Write the medians of `source[i : i + size]` to `out[i]` for i < count.

        Both matrices are C-contiguous and `padded_width` wide. Tiles are worked on whole, so
        `count` is rounded up to `tile`: `out` must have, and `source` must have with size - 1
        more, that many rows. Values are float32 and not NaN.
        """
        width = source.shape[1]
        rows_in = np.arange(self._network.inputs, dtype=np.uint64) * np.uint64(width)
        rows_out = np.arange(self.tile, dtype=np.uint64) * np.uint64(width)
        for first in range(0, count, self.tile):
            self._network.run(source[first:], rows_in, out[first:], rows_out, width)


class ColumnMedian:
    """Medians of `size` neighbouring values within each row, mirrored at the row's ends."""

    def __init__(self, size: int, columns: int, max_rows: int) -> None:
        self._network = _Network(size)
        tile = self._network.tile
        tiles = -(-columns // tile)
        self._groups = tiles - (1 - size) // tile
        extended = np.arange(self._groups * tile) - size // 2
        self._mirror = reflect(extended, columns).astype(np.uint64)
        width = padded_width(max_rows * self._groups)
        # Row q of the comb holds every tile-th value, so that neighbours in a row of the comb
        # are a tile apart and one network step serves them all.
        overhang = int(LANES)
        self._comb = aligned_zeros(tile * width + overhang)
        self._medians = aligned_zeros(tile, width)
        inputs = np.arange(self._network.inputs)
        self._rows_in = (inputs % tile * width + inputs // tile).astype(np.uint64)
        self._rows_out = (np.arange(tile) * width).astype(np.uint64)

    def filter(self, source: Floats, out: Floats) -> None:
        """Write each row's medians to `out`; both (at most max_rows, columns), C-contiguous.

        Equal to `scipy.ndimage.median_filter(source, (1, size), mode="reflect")`.
        """
        tile, width = self._medians.shape
        comb = self._comb[: tile * width].reshape(tile, width)
        _split_rows(source, self._mirror, comb)
        lanes = padded_width(source.shape[0] * self._groups)
        self._network.run(self._comb, self._rows_in, self._medians, self._rows_out, lanes)
        _join_rows(self._medians, np.uint64(self._groups), out)


class _Network:
    """A median network ready to run over flat arrays."""

    def __init__(self, size: int) -> None:
        network = median_network(size)
        self.tile, self.inputs = network.tile, size + network.tile - 1
        steps = np.array(network.steps, np.uint64).reshape(-1, 5)
        steps[:, 1:] *= LANES
        self._steps = steps
        self._outputs = np.array(network.outputs, np.uint64) * LANES
        self._scratch = aligned_zeros(network.slots * int(LANES))

    def run(
        self,
        source: Floats,
        rows_in: NDArray[np.uint64],
        out: Floats,
        rows_out: NDArray[np.uint64],
        lanes: int,
    ) -> None:
        """Run over `lanes` columns; `rows_in[i]` is the flat offset of input row i in source."""
        program = self._steps, self._outputs, self._scratch
        _run(*program, source.reshape(-1), rows_in, out.reshape(-1), rows_out, np.uint64(lanes))


@njit(cache=True, nogil=True)
def _run(steps, outputs, scratch, source, rows_in, out, rows_out, lanes):  # type: ignore[no-untyped-def]
    for first in range(np.uint64(0), lanes, LANES):
        for i in range(rows_in.size):
            _copy(source, rows_in[i] + first, scratch, np.uint64(i) * LANES)
        for s in range(steps.shape[0]):
            _step(scratch, steps[s, 0], steps[s, 1], steps[s, 2], steps[s, 3], steps[s, 4])
        for i in range(rows_out.size):
            _copy(scratch, outputs[i], out, rows_out[i] + first)


@njit(cache=True, nogil=True, inline="always")
def _copy(source, start, target, at):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        target[at + lane] = source[start + lane]


@njit(cache=True, nogil=True, inline="always")
def _step(scratch, kind, a, b, low, high):  # type: ignore[no-untyped-def]
    if kind == BOTH:
        for lane in range(LANES):
            x, y = scratch[a + lane], scratch[b + lane]
            scratch[low + lane] = x if x < y else y
            scratch[high + lane] = y if x < y else x
    elif kind == LOW:
        for lane in range(LANES):
            x, y = scratch[a + lane], scratch[b + lane]
            scratch[low + lane] = x if x < y else y
    else:
        for lane in range(LANES):
            x, y = scratch[a + lane], scratch[b + lane]
            scratch[high + lane] = y if x < y else x


@njit(cache=True, nogil=True)
def _split_rows(source, mirror, comb):  # type: ignore[no-untyped-def]
    """Comb row q, column r * groups + g = value g * tile + q of the mirrored source row r."""
    tile = np.uint64(comb.shape[0])
    groups = np.uint64(mirror.size) // tile
    row = np.empty(mirror.size, np.float32)
    for r in range(np.uint64(source.shape[0])):
        for i in range(mirror.size):
            row[i] = source[r, mirror[i]]
        for q in range(tile):
            for g in range(groups):
                comb[q, r * groups + g] = row[g * tile + q]


@njit(cache=True, nogil=True)
def _join_rows(medians, groups, out):  # type: ignore[no-untyped-def]
    """The way back: out[r, g * tile + q] = medians[q, r * groups + g]."""
    tile = np.uint64(medians.shape[0])
    row = np.empty(groups * tile, np.float32)
    for r in range(np.uint64(out.shape[0])):
        for q in range(tile):
            for g in range(groups):
                row[g * tile + q] = medians[q, r * groups + g]
        for i in range(np.uint64(out.shape[1])):
            out[r, i] = row[i]
