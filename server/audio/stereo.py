"""Blocks of any channels to finite stereo blocks. Pure array work: no file, no decoder."""

from math import sqrt

import numpy as np

LIMIT = 8.0  # 18 dB over full scale: more than any master holds, little enough to compute with

_H = sqrt(0.5)
# Shares of (left, right) by ITU-R BS.775's downward mixes: centre and surrounds at -3 dB, a lone
# surround at -6 dB on both sides, LFE not used. Wide and top channels, which it lacks, go like
# the front or the surround on their side.
_SHARES = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_H, _H), "LFE": (0.0, 0.0), "LFE2": (0.0, 0.0),
    "BL": (_H, 0.0), "BR": (0.0, _H), "SL": (_H, 0.0), "SR": (0.0, _H), "BC": (0.5, 0.5),
    "FLC": (1.0, 0.0), "FRC": (0.0, 1.0), "WL": (1.0, 0.0), "WR": (0.0, 1.0),
    "SDL": (_H, 0.0), "SDR": (0.0, _H), "DL": (1.0, 0.0), "DR": (0.0, 1.0),
    "TFL": (_H, 0.0), "TFR": (0.0, _H), "TBL": (_H, 0.0), "TBR": (0.0, _H),
    "TSL": (_H, 0.0), "TSR": (0.0, _H), "TC": (0.5, 0.5), "TFC": (0.5, 0.5), "TBC": (0.5, 0.5),
}  # fmt: skip
# The order in which files without a layout are taken to hold their channels (WAV's own order).
_ORDERS = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def to_stereo(samples: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Mixes a block of shape (samples, channels) to finite float32 of shape (samples, 2).

    One channel goes to both sides, two are left and right whatever they are called, more are
    mixed by ITU-R BS.775 and scaled down so that a full-scale input cannot exceed full scale.
    NaN and infinities become 0, values are limited to +-`LIMIT`.

    Args:
        samples: float32, not changed.
        channels: a name for each channel, as FFmpeg has them.
    """
    samples = _finite(samples)
    if len(channels) > 2:
        samples = samples @ mixing_matrix(channels)
    return interleaved(samples[:, 0], samples[:, -1])


def unfit(samples: np.ndarray) -> tuple[int, int]:
    """How many rows of a block hold something that is no number, and others beyond `LIMIT`: what
    `to_stereo` changes."""
    if samples.min(initial=0) >= -LIMIT and samples.max(initial=0) <= LIMIT:  # not where one is NaN
        return 0, 0
    numbers = np.isfinite(samples).all(axis=1)
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(samples) > LIMIT).any(axis=1)
    return len(samples) - int(numbers.sum()), int((beyond & numbers).sum())


def interleaved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two arrays of one length as float32 frames of shape (samples, 2)."""
    frames: np.ndarray = np.empty((len(left), 2), np.float32)
    frames[:, 0] = left  # column by column: five times faster than a transposed copy
    frames[:, 1] = right
    return frames


def planar(frames: np.ndarray) -> np.ndarray:
    """Frames of shape (samples, 2) as a contiguous block of shape (2, samples)."""
    block: np.ndarray = np.empty((2, len(frames)), np.float32)
    block[0] = frames[:, 0]
    block[1] = frames[:, 1]
    return block


def mixing_matrix(channels: tuple[str, ...]) -> np.ndarray:
    """The downmix to stereo of three to eight channels: float32 of shape (channels, 2).

    One channel among known ones of which nobody knows where it belongs is heard on both sides.
    """
    if not any(any(_SHARES.get(name, (0, 0))) for name in channels):
        channels = _ORDERS[len(channels)]
    matrix: np.ndarray = np.array([_SHARES.get(name, (0.5, 0.5)) for name in channels])
    matrix /= matrix.sum(axis=0).max()
    return matrix.astype(np.float32)


def _finite(samples: np.ndarray) -> np.ndarray:
    finite = np.isfinite(samples)
    if not finite.all():
        samples = np.where(finite, samples, np.float32(0))
    limited: np.ndarray = np.clip(samples, -LIMIT, LIMIT)
    return limited
