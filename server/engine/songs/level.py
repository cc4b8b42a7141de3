"""A song as a model hears it that wants its songs without a mean, and with a deviation of 1: as
Music-Source-Separation-Training has it where `inference.normalize` is set. Knows no model.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from server.work.scratch import FrameReader

BLOCK = 1 << 14  # frames


class Level(NamedTuple):
    """Of a whole song. deviation: 0 where all samples are the same."""

    mean: float
    deviation: float


class LevelledReader(FrameReader):
    """The song at `path` at that level."""

    def __init__(self, path: Path, level: Level) -> None:
        super().__init__(path)
        self._level = level

    def read_into(self, out: np.ndarray, start: int) -> None:
        """As a `FrameReader`."""
        super().read_into(out, start)
        out -= self._level.mean
        out /= self._level.deviation or 1.0


def level_of(mix: FrameReader) -> Level:
    """The mean and the deviation of the two channels' mean; the deviation of either channel where
    they cancel out. A song that is not finite stays as it is: its segments tell.

    One pass over the file, in the memory of a block.
    """
    if not mix.frames:
        return Level(0.0, 1.0)
    origin = mix.read(0, 1)[0].astype(np.float64)  # samples that are all the same do not deviate
    sums, squares = np.zeros(2), np.zeros(2)  # of the first channel, and of both channels' mean
    with np.errstate(invalid="ignore"):
        for block in mix.blocks(BLOCK):
            signals = np.subtract(block.T, origin[:, None], order="C")
            signals[1] = (signals[0] + signals[1]) / 2
            sums += signals.sum(1)
            squares += [row @ row for row in signals]
    if not np.isfinite(squares).all():
        return Level(0.0, 1.0)
    means = sums / mix.frames
    one, both = np.maximum(squares / mix.frames - means**2, 0.0).tolist()
    return Level(float(origin.mean() + means[1]), math.sqrt(both or one))
