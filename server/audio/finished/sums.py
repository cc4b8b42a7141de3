"""Finished tracks that are read as one: a sum, and a track that its own parts tell better."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import Final

import numpy as np

from server.audio.finished import Frames, open_finished

CUT: Final = 1 - 2**-15  # the highest sample of 16 bits: what is there may have been higher


class Sum:
    """Several tracks as one."""

    def __init__(self, *parts: Frames) -> None:
        self._parts = parts
        self.frames = min(part.frames for part in parts)

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        return reduce(np.add, (part.read(start, count) for part in self._parts))

    def close(self) -> None:
        """As `Frames.close`."""
        for part in self._parts:
            part.close()


class Finer:
    """A track that is the sum of `parts` times `level`, a small number: so they have less of the
    error of rounding, wherever none of them was cut off at full scale. There the track is read."""

    def __init__(self, track: Frames, parts: Sequence[Frames], level: float) -> None:
        self._track, self._parts, self._level = track, parts, np.float32(level)
        self.frames = min(part.frames for part in (track, *parts))

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        blocks = [part.read(start, count) for part in self._parts]
        found = reduce(np.add, blocks) * self._level
        cut = reduce(np.logical_or, (np.abs(block) >= CUT for block in blocks))
        if cut.any():
            np.copyto(found, self._track.read(start, count), where=cut)
        return found

    def close(self) -> None:
        """As `Frames.close`."""
        for part in (self._track, *self._parts):
            part.close()


def open_finer(path: Path, finer: Sequence[Path], level: float) -> Frames:
    """Opens a track as what is in it: where `finer` names tracks, their sum times `level`.

    Raises as `open_finished`.
    """
    with ExitStack() as stack:
        found = []
        for one in (path, *finer):
            found.append(open_finished(one))
            stack.callback(found[-1].close)
        stack.pop_all()  # they are the caller's now
    return Finer(found[0], found[1:], level) if finer else found[0]
