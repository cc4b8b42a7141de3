"""Stereo blocks of any rate to 44.1 kHz, as a stream of bounded blocks."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import soxr

from server.sound import CHANNELS, SAMPLE_RATE

_BLOCK = 1 << 16  # frames that the resampler is made to return at once, roughly


def to_mix_rate(blocks: Iterable[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
    """Resamples `(rate in Hz, block of shape (frames, 2))` pairs to blocks at 44.1 kHz.

    A stretch of n frames at one rate gives n * 44100 / rate frames, to within one, and at least
    one, without delay, by soxr's HQ filter (linear phase, 20 bit). Blocks at 44.1 kHz pass
    unchanged. Rates from 1 kHz on give small blocks; far below it the filter alone would hold
    minutes.
    """
    for rate, stretch in groupby(blocks, key=itemgetter(0)):
        same_rate = (block for _, block in stretch)
        yield from same_rate if rate == SAMPLE_RATE else _resampled(same_rate, rate)


def _resampled(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, CHANNELS, dtype="float32", quality="HQ")
    step = max(1, _BLOCK * rate // SAMPLE_RATE)  # a low rate must not come out as one huge block
    first, made = np.empty((0, CHANNELS), np.float32), 0
    for block in blocks:
        first = first if len(first) else block[:1].copy()
        for start in range(0, len(block), step):
            out = stream.resample_chunk(block[start : start + step])
            made += len(out)
            yield out
    rest = stream.resample_chunk(np.empty((0, CHANNELS), np.float32), last=True)
    yield rest if made or len(rest) else first  # soxr rounds less than half a frame to none
