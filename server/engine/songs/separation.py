"""One song on its way through a model: reads the mix, keeps its place, writes the stems.

The mix may be any signal that somebody wants to take apart, and a stem any sum of what is in it.

Memory is one segment's, whatever the song's length. What happens in one song's separation
(a NaN, a full disk, a cancel) never reaches another's.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch

from server.engine.songs.edges import read_segment
from server.engine.songs.level import Level, LevelledReader, level_of
from server.engine.songs.overlap_add import OverlapAdd
from server.engine.songs.segments import Planner, triangles
from server.engine.songs.silence import Pauses, pauses_of
from server.engine.songs.targets import Target
from server.errors import NotFinite, StageFailed
from server.work.scratch import FrameReader, FrameWriter


class Cut(NamedTuple):
    """How a song is cut up for a model: samples of a segment, the part that neighbours share, and
    what its family makes of them. levelled: whether it hears all songs at one level."""

    segment: int
    overlap: float
    planner: Planner = triangles
    levelled: bool = False


class Piece(NamedTuple):
    """What a segment made final: the stems' next frames, and their highest sample.

    frames: float32 (stems, n, 2); peak: float32 (), not finite if any sample is not, and below
    zero if the mix was not.
    """

    frames: torch.Tensor
    peak: torch.Tensor


class Separation:
    """The separation of the mix file at `mix` into a file for each target. device: where the model
    is.

    Every segment goes through `read`, `add` and `write`, each in the order of the song; `add`
    works on the device and never waits for it. A context manager: leaving it after an error
    removes what was written.
    """

    def __init__(
        self, mix: Path, targets: Sequence[Target], cut: Cut, device: torch.device
    ) -> None:
        self._mix = mix
        self._targets = targets
        self._gains = np.array([target.gains for target in targets], np.float32)
        self._stays = np.array([target.stays for target in targets], np.float32)
        self._rests = np.array([target.rests for target in targets], np.float32)
        self._counts = np.array([target.counts for target in targets], bool)
        self._cut = cut
        self._device = device
        self._read = 0  # segments handed out
        self._added = 0  # segments that came back
        self._written = 0  # segments whose samples are in the files
        self._final = 0  # frames that are
        self.peak = 0.0  # the highest sample so far of all targets that count

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._heard = self._reader = stack.enter_context(FrameReader(self._mix))
            self._writers = [
                stack.enter_context(FrameWriter(target.path)) for target in self._targets
            ]
            self._bases = {place: stack.enter_context(FrameReader(target.onto))
                           for place, target in enumerate(self._targets) if target.onto}
            cut = self._cut
            self.cuts = cut.planner(self._reader.frames, cut.segment, cut.overlap)
            gains = torch.from_numpy(self._gains).to(self._device)
            self._level: Level | None = None
            if cut.levelled:
                self._level = level_of(self._reader)
                self._heard = stack.enter_context(LevelledReader(self._mix, self._level))
                self._means = self._level.mean * gains.sum(1)[:, None, None]
            self._of_sources, self._of_mix = gains[:, :-1], gains[:, -1:, None]
            self._needs_mix = bool(self._gains[:, -1].any())
            self._overlap_add = OverlapAdd(self.cuts, len(self._targets), self._device)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    @property
    def needed(self) -> list[bool]:
        """Of each of the model's sources, whether any stem is made of it."""
        return (self._gains[:, :-1] != 0).any(axis=0).tolist()

    @property
    def done(self) -> bool:
        """Whether every segment has come back and is written."""
        return self._written == self.cuts.count

    @property
    def progress(self) -> float:
        """The share of segments that are done, 0 to 1."""
        return self._written / max(1, self.cuts.count)

    @property
    def unread(self) -> int:
        """Segments that `read` has not yet handed out."""
        return self.cuts.count - self._read

    def next_length(self) -> int:
        """Samples of the segment that `read` would hand out."""
        return self.cuts.length(self._read)

    def run_length(self, padded_length: Callable[[int], int], at_most: int) -> int:
        """How many of the next segments the model pads to one and the same length."""
        ahead = range(self._read, min(self._read + at_most, self.cuts.count))
        lengths = [padded_length(self.cuts.length(index)) for index in ahead]
        return sum(1 for _ in takewhile(lambda length: length == lengths[0], lengths))

    def read(self, out: np.ndarray) -> None:
        """The next segment as the model wants it, into `out`: float32 (padded, 2)."""
        index = self._read
        self._read += 1
        read_segment(self._heard, self.cuts, index, out)

    def add(self, part: torch.Tensor, mix: torch.Tensor, sound: torch.Tensor) -> Piece:
        """Takes back the model's answer to the oldest segment that was read.

        Args:
            part: float32 (sources, 2, padded), the answer.
            mix: float32 (2, padded), the segment itself.
            sound: bool (), whether the segment was finite.
        """
        index, padded = self._added, part.shape[-1]
        self._added += 1
        before = self.cuts.before(index, padded)
        inside = slice(before, before + self.cuts.length(index))
        made = torch.tensordot(self._of_sources, part[..., inside], 1)
        if self._needs_mix:
            made += self._of_mix * mix[:, inside]
        if self._level is not None:
            made = made * self._level.deviation + self._means
        final = self._overlap_add.add(index, made)
        highest = final.abs().amax() if final.numel() else final.new_zeros(())
        peak = torch.where(sound, highest, -1.0)
        return Piece(final.transpose(1, 2).contiguous(), peak)

    def write(self, frames: np.ndarray, peak: float) -> None:
        """Writes a piece that has arrived from the device: float32 (stems, n, 2).

        Where the mix is silent, nothing of the model's answer is left; an offset that it has there
        is in the stem of what is in no other.

        Raises:
            StageFailed: the mix is not finite.
            NotFinite: the model's answer is not.
            OSError: the disk is full, for one.
        """
        if peak < 0:
            raise StageFailed("The samples are not finite")
        if not np.isfinite(peak):
            raise NotFinite("The model's answer is not finite")
        count = frames.shape[1]
        pauses = pauses_of(self._reader, self._final, count) if count else None
        if pauses is not None:
            frames = self._hushed(frames, pauses)
        if self._bases:
            frames = self._with_bases(frames)
        if pauses is not None or self._bases or not self._counts.all():
            peak = float(np.abs(frames[self._counts]).max(initial=0.0))
        self._final += frames.shape[1]
        self.peak = max(self.peak, peak)
        for writer, stem in zip(self._writers, frames, strict=True):
            writer.write(stem)
        self._written += 1

    def _hushed(self, frames: np.ndarray, pauses: Pauses) -> np.ndarray:
        """The next frames with as much of the model's answer as there is sound; a track that is
        what the others leave of the mix keeps all of it, the stem of the rest its offset."""
        sound = pauses.sound[:, None]
        hushed = frames * sound
        if pauses.offset.any():
            for place in np.flatnonzero(self._rests):
                hushed[place] += pauses.offset * ((1 - sound) * self._rests[place])
        if self._stays.any():
            mix = self._reader.read(self._final, frames.shape[1])
            for place in np.flatnonzero(self._stays):
                hushed[place] += mix * ((1 - sound) * self._stays[place])
        return hushed

    def _with_bases(self, frames: np.ndarray) -> np.ndarray:
        """The next frames with what they are added to."""
        added = frames.copy()
        for place, base in self._bases.items():
            added[place] += base.read(self._final, frames.shape[1])
        return added
