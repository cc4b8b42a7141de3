"""Compiles every kernel, or loads it from numba's cache, before the first song does."""

import numpy as np

from kernels.gain import quantise
from kernels.hpss import HPSSStream
from kernels.loudness import LoudnessMeter


def warm_up() -> None:
    """Run everything once on a few samples, so that no later call compiles anything.

    Seconds the first time on a machine, a fraction of one from the cache (`NUMBA_CACHE_DIR`).
    """
    block = np.zeros((2, 64), np.float32)
    for settings in ({}, {"margin": 2.0}, {"power": 1.0}, {"power": np.inf}):
        stream = HPSSStream(2, n_fft=32, hop_length=8, kernel_size=3, **settings)
        stream.feed(block)
        stream.finish()
    meter = LoudnessMeter(44100, 2)
    meter.feed(block)
    meter.true_peak()
    for bits in (16, 24):
        quantise(block, bits)
        quantise(block, bits, dither=1)
