"""Where a mix is silent, so that what a model makes up there is not heard. Knows no model.

Models normalise a segment as a whole: in silence beside sound they answer with noise of their own.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from server.work.scratch import FrameReader

BLOCK = 64  # frames: edges are found to a block, and faded over the next
STRETCH = 64  # blocks, 93 ms, as long as a model's STFT looks: shorter pauses count as sound
# What silence may have, in each channel, around its mean, which need not be zero.
LEVEL = 10 ** (-90 / 20)  # RMS: the dither of 16 bits has -96 dB
PEAK = 10 ** (-80 / 20)  # beyond it, even a single click is sound


class Pauses(NamedTuple):
    """Frames of a mix that is silent somewhere near.

    sound: how much of each is to be heard, float32 (n,): 1 in sound, 0 in silence, and a ramp at
    each edge, all of it in the silence.
    offset: the constant around which each lies in the silence, 0 where that is nothing: float32
    (n, 2).
    """

    sound: np.ndarray
    offset: np.ndarray


def pauses_of(mix: FrameReader, start: int, count: int) -> Pauses | None:
    """The pauses in `count` frames from `start` on; None where all is sound.

    It depends on the mix alone, not on how it is cut into calls.
    """
    blocks = -(-mix.frames // BLOCK)
    first, last = start // BLOCK, -(-(start + count) // BLOCK)
    begin, end = max(0, first - STRETCH), min(blocks, last + STRETCH)
    found = _silent(mix.read(begin * BLOCK, (end - begin) * BLOCK))
    if found is None:
        return None
    silent, offset = found
    # One more on either side; beyond the song's ends it goes on as it is there.
    near = np.clip(np.arange(first - 1, last + 1), begin, end - 1) - begin
    sound = ~silent[near]
    edges = (sound[:-1] | sound[1:]).astype(np.float32)  # the share at each block's two ends
    way = (np.arange(BLOCK, dtype=np.float32) + 0.5) / BLOCK
    share = edges[:-1, None] * (1 - way) + edges[1:, None] * way
    here = slice(start - first * BLOCK, start - first * BLOCK + count)
    around = offset[near[1:-1]].repeat(BLOCK, axis=0)
    return Pauses(share.reshape(-1)[here], around[here])


def _silent(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Of each block of (n, 2) frames, whether it lies in a silent stretch, and around what:
    float32 (blocks, 2); None if none does."""
    if len(frames) <= (STRETCH - 1) * BLOCK:
        return None
    whole = np.pad(frames, ((0, -len(frames) % BLOCK), (0, 0)), mode="edge")
    blocks = whole.reshape(-1, BLOCK, 2)
    top, bottom = _folded(np.maximum, blocks).T, _folded(np.minimum, blocks).T
    still = (top - bottom <= 2 * PEAK).all(0)
    if not _windows(still).all(-1).any():
        return None
    span = _windows(top).max(-1) - _windows(bottom).min(-1)
    numbers = blocks.transpose(2, 0, 1).astype(np.float64, order="C")
    mean = _windows(numbers.mean(-1)).mean(-1)
    power = _windows((numbers**2).mean(-1)).mean(-1) - mean**2
    calm = ((span <= 2 * PEAK) & (power <= LEVEL**2)).all(0)  # from each block on, a stretch
    if not calm.any():
        return None
    stretches = _in_stretches(calm)
    offset = _in_stretches(mean * calm) / np.maximum(1, stretches)
    offset[np.abs(offset) <= LEVEL] = 0
    return stretches > 0, offset.T.astype(np.float32)


def _in_stretches(of_each: np.ndarray) -> np.ndarray:
    """For each block, the sum over all stretches that it lies in."""
    beside = [(0, 0)] * (of_each.ndim - 1) + [(STRETCH - 1, STRETCH - 1)]
    return np.asarray(_windows(np.pad(of_each, beside)).sum(-1))


def _folded(of_two: np.ufunc, blocks: np.ndarray) -> np.ndarray:
    """Reduces (n, BLOCK, 2) to (n, 2) by halves, which numpy does many numbers at a time."""
    while blocks.shape[1] > 1:
        half = blocks.shape[1] // 2
        blocks = of_two(blocks[:, :half], blocks[:, half:])
    return blocks[:, 0]


def _windows(blocks: np.ndarray) -> np.ndarray:
    return sliding_window_view(blocks, STRETCH, axis=-1)
