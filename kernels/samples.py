"""What every kernel takes in: float32 blocks of (channels, samples) with nothing in them that
could spoil a sum. Knows no transform, no filter and no file.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# No recording comes near it, and its square, summed over any frame, still is a finite float32.
LOUDEST = np.float32(1e12)


def clean_block(block: NDArray[Any], channels: int) -> Floats:
    """A C-contiguous float32 copy of `block` (channels, samples), with faults made silent.

    A sample that is NaN, infinite or beyond +-1e12 becomes 0, so that one bad sample cannot
    reach further than itself. Raises ValueError for another shape or channel count, TypeError
    for samples that are not floating point.
    """
    block = np.asarray(block)
    if block.ndim != 2 or block.shape[0] != channels:
        raise ValueError(f"expected a block of shape ({channels}, samples), not {block.shape}")
    if not np.issubdtype(block.dtype, np.floating):
        raise TypeError(f"expected floating-point samples, not {block.dtype}")
    with np.errstate(over="ignore"):
        clean: Floats = np.array(block, dtype=np.float32, order="C")
    _silence_faults(clean.reshape(-1))
    return clean


@njit(cache=True, nogil=True)
def _silence_faults(samples):  # type: ignore[no-untyped-def]
    for i in range(samples.size):
        # A NaN fails the comparison too.
        samples[i] = samples[i] if abs(samples[i]) <= LOUDEST else np.float32(0)
