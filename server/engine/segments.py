"""How a song is cut into overlapping segments and put together again, as demucs does it.

The maths is that of `demucs.apply.apply_model` with `split=True, shifts=0,
transition_power=1`; no torch here, so that it can be read and tested by itself.
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


class OverlapAdd:
    """Mixes the segments of one song in order and hands out what is final.

    Holds one segment's length whatever the song's length.
    """

    def __init__(self, cuts: SegmentPlan, stems: int, channels: int = 2) -> None:
        self._cuts = cuts
        self._weight = triangle(cuts.segment)
        self._sum = np.zeros((stems, channels, cuts.segment), np.float32)
        self._weights = np.zeros(cuts.segment, np.float32)

    def add(self, index: int, part: np.ndarray) -> np.ndarray:
        """Adds a segment; returns the samples that no later segment will touch.

        Args:
            index: the segment's number: 0, 1, 2 … without gaps.
            part: float32 (stems, channels, length of the segment).
        Returns:
            float32 (stems, channels, n); all n together are the song.
        """
        length = part.shape[-1]
        weight = self._weight[:length]
        self._sum[..., :length] += weight * part
        self._weights[:length] += weight
        last = index == self._cuts.count - 1
        final = length if last else self._cuts.stride
        out: np.ndarray = self._sum[..., :final] / self._weights[:final]
        if not last:
            self._shift(final)
        return out

    def _shift(self, by: int) -> None:
        keep = self._cuts.segment - by
        self._sum[..., :keep] = self._sum[..., by:].copy()
        self._sum[..., keep:] = 0
        self._weights[:keep] = self._weights[by:].copy()
        self._weights[keep:] = 0
