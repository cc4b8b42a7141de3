"""How a song is cut into overlapping segments, as demucs does it. Pure: no torch.

The maths is that of `demucs.apply.apply_model` with `split=True, shifts=0,
transition_power=1`.
"""

import numpy as np
from msgspec import Struct


class SegmentPlan(Struct, frozen=True):
    """The cuts of one song.

    Attributes:
        frames: samples of the song.
        segment: samples of a whole segment.
        stride: samples from one segment's start to the next.
    """

    frames: int
    segment: int
    stride: int

    @property
    def count(self) -> int:
        """Number of segments."""
        return -(-self.frames // self.stride)

    def start(self, index: int) -> int:
        """First sample of a segment."""
        return index * self.stride

    def length(self, index: int) -> int:
        """Samples of a segment: fewer at the song's end."""
        return min(self.segment, self.frames - self.start(index))


def plan(frames: int, segment: int, overlap: float) -> SegmentPlan:
    """Cuts a song of `frames` samples; neighbours share the part `overlap` of a segment."""
    return SegmentPlan(frames, segment, int((1 - overlap) * segment))


def triangle(segment: int) -> np.ndarray:
    """The weight of each sample of a segment when neighbours are mixed: float32 (segment,)."""
    rising = np.arange(1, segment // 2 + 1, dtype=np.float32)
    falling = np.arange(segment - segment // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rising, falling])
    return weight / weight.max()


def padded_span(cuts: SegmentPlan, index: int, padded: int) -> tuple[int, int]:
    """First sample of the model's input for a segment, and where the segment lies in it.

    A short last segment is centred in its input: what lies around it is the song's own past
    (and zeros beyond its ends).
    """
    before = (padded - cuts.length(index)) // 2
    return cuts.start(index) - before, before
