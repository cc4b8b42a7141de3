"""One song on its way through a model: reads the mix, keeps its place, writes the stems.

Memory is one segment's, whatever the song's length. What happens in one song's separation
(a NaN, a full disk, a cancel) never reaches another's.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from server.engine.segments import OverlapAdd, padded_span, plan
from server.errors import StageFailed
from server.scratch import FrameReader, FrameWriter


class Cut(NamedTuple):
    """How a song is cut up for a model: samples of a segment, the part that neighbours share."""

    segment: int
    overlap: float


class Separation:
    """The separation of the mix file at `mix` into `<folder>/<stem>.f32`.

    gains: float32 (stems, sources + 1), what of the model's sources, and at last of the mix
    itself, each stem is made of.

    A context manager: leaving it after an error removes what was written.
    """

    def __init__(
        self, mix: Path, folder: Path, stems: tuple[str, ...], gains: np.ndarray, cut: Cut
    ) -> None:
        self._mix = mix
        self._folder = folder
        self.stems = stems
        self._gains, self._of_mix = gains[:, :-1], gains[:, -1:, None]
        self._pending: deque[np.ndarray] = deque()  # segments handed out, where the mix is needed
        self._cut = cut
        self._taken = 0  # segments handed out
        self._added = 0  # segments that came back
        self.peak = 0.0  # the highest sample of all stems so far
        self._poisoned = False  # the mix holds a NaN or an infinity

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._reader = stack.enter_context(FrameReader(self._mix))
            self._writers = [
                stack.enter_context(FrameWriter(self._folder / f"{stem}.f32"))
                for stem in self.stems
            ]
            self.cuts = plan(self._reader.frames, *self._cut)
            self._overlap_add = OverlapAdd(self.cuts, len(self.stems))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    @property
    def needed(self) -> list[bool]:
        """Of each of the model's sources, whether any stem is made of it."""
        return (self._gains != 0).any(axis=0).tolist()

    @property
    def done(self) -> bool:
        """Whether every segment has come back."""
        return self._added == self.cuts.count

    @property
    def progress(self) -> float:
        """The share of segments that are done, 0 to 1."""
        return self._added / max(1, self.cuts.count)

    def next_length(self) -> int:
        """Samples of the segment that `take` would hand out."""
        return self.cuts.length(self._taken)

    def run_length(self, padded_length: Callable[[int], int], at_most: int) -> int:
        """How many of the next segments the model pads to one and the same length."""
        ahead = range(self._taken, min(self._taken + at_most, self.cuts.count))
        lengths = [padded_length(self.cuts.length(index)) for index in ahead]
        return sum(1 for _ in takewhile(lambda length: length == lengths[0], lengths))

    def take(self, padded: int) -> np.ndarray:
        """The next segment as the model wants it: float32 (2, padded)."""
        start, _ = padded_span(self.cuts, self._taken, padded)
        self._taken += 1
        out = np.zeros((2, padded), np.float32)
        first = max(0, start)
        frames = self._reader.read(first, start + padded - first)
        out[:, first - start : first - start + len(frames)] = frames.T
        if self._of_mix.any():
            self._pending.append(out)
        if not np.isfinite(out).all():
            # Silence keeps the place in the batch, so its mates get the very same batch.
            self._poisoned = True
            out[:] = 0
        return out

    def add(self, part: np.ndarray) -> None:
        """Takes back the model's answer to the oldest segment handed out: (sources, 2, padded).

        Raises:
            StageFailed: the mix or the model's answer is not finite.
        """
        if self._poisoned or not np.isfinite(part).all():
            raise StageFailed("The samples are not finite")
        index, padded = self._added, part.shape[-1]
        _, before = padded_span(self.cuts, index, padded)
        inside = part[..., before : before + self.cuts.length(index)]
        made = np.tensordot(self._gains, inside, 1)
        if self._pending:
            mix = self._pending.popleft()
            made += self._of_mix * mix[:, before : before + self.cuts.length(index)]
        final = self._overlap_add.add(index, made)
        self.peak = max(self.peak, float(np.abs(final).max(initial=0.0)))
        for writer, stem in zip(self._writers, final, strict=True):
            writer.write(stem.T)
        self._added += 1
