"""How a song is cut into overlapping segments, and how they are faded into each other. Pure: no
torch.

There are two ways, and a model's family says which is its own: demucs's, and that of
Music-Source-Separation-Training, whose songs go on mirrored beyond their ends.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from msgspec import Struct

FADE = 10  # a fade is this part of a segment, by Music-Source-Separation-Training
TINY = 1e-6  # of a sample: 1 - 1/n is not exact


class Cuts(Protocol):
    """The cuts of one song.

    Attributes:
        frames: samples of the song.
        segment: samples of a whole segment.
        stride: samples from one segment's start to the next.
        mirrored: whether a song goes on mirrored beyond its ends; else it is silent there.
    """

    @property
    def frames(self) -> int: ...

    @property
    def segment(self) -> int: ...

    @property
    def stride(self) -> int: ...

    @property
    def mirrored(self) -> bool: ...

    @property
    def count(self) -> int:
        """Number of segments."""
        ...

    def start(self, index: int) -> int:
        """First sample of a segment; one that begins before the song has a negative one."""
        ...

    def length(self, index: int) -> int:
        """Samples of a segment: fewer at the song's end."""
        ...

    def before(self, index: int, padded: int) -> int:
        """Where a segment lies in the model's input of `padded` samples."""
        ...

    def window(self, index: int) -> int:
        """Which of the `windows` fades a segment."""
        ...

    def windows(self) -> tuple[np.ndarray, ...]:
        """The weights of a segment's samples when neighbours are mixed: float32 (segment,)."""
        ...


class Triangles(Struct, frozen=True):
    """As `demucs.apply.apply_model` with `split=True, shifts=0, transition_power=1`."""

    frames: int
    segment: int
    stride: int
    mirrored: bool = False

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

    def before(self, index: int, padded: int) -> int:
        """A short last segment is centred in its input: what lies around it is the song's own
        past (and zeros beyond its ends)."""
        return (padded - self.length(index)) // 2

    def window(self, index: int) -> int:
        """All segments have the same one."""
        return 0

    def windows(self) -> tuple[np.ndarray, ...]:
        """A triangle."""
        rising = np.arange(1, self.segment // 2 + 1, dtype=np.float32)
        falling = np.arange(self.segment - self.segment // 2, 0, -1, dtype=np.float32)
        weight = np.concatenate([rising, falling])
        return (weight / weight.max(),)


class Fades(Struct, frozen=True):
    """As Music-Source-Separation-Training's `demix`, batch by batch of one.

    A song that is long enough begins `border` samples before its start, mirrored there. What that
    package computes of segments that lie beyond the song's end is left out.
    """

    frames: int
    segment: int
    stride: int
    mirrored: bool = True

    @property
    def border(self) -> int:
        """Samples by which the first segment begins before the song."""
        border = self.segment - self.stride
        return border if self.frames > 2 * border else 0

    @property
    def count(self) -> int:
        """Number of segments."""
        return -(-(self.frames + self.border) // self.stride) if self.frames else 0

    def start(self, index: int) -> int:
        """First sample of a segment."""
        return index * self.stride - self.border

    def length(self, index: int) -> int:
        """Samples of a segment, the mirrored ones included."""
        return min(self.segment, self.frames + self.border - self.start(index))

    def before(self, index: int, padded: int) -> int:
        """A segment is at the beginning of its input."""
        return 0

    def window(self, index: int) -> int:
        """The first segment is not faded in, nor the last one out."""
        return (index == 0) + 2 * (index == self.count - 1)

    def windows(self) -> tuple[np.ndarray, ...]:
        """Ones with linear fades: both, that at the end, that at the beginning, none."""
        fade = min(self.segment // FADE, self.segment - self.stride)
        fade = fade if fade > 1 else 0  # one sample would be faded to nothing from either side
        rising = np.ones(self.segment, np.float32)
        rising[:fade] = np.linspace(0, 1, fade, dtype=np.float32)
        falling = rising[::-1].copy()
        return rising * falling, falling, rising, np.ones(self.segment, np.float32)


Planner = Callable[[int, int, float], Cuts]  # of frames, segment and overlap


def triangles(frames: int, segment: int, overlap: float) -> Triangles:
    """Cuts a song of `frames` samples; neighbours share the part `overlap` of a segment."""
    return Triangles(frames, segment, max(1, int((1 - overlap) * segment)))


def fades(frames: int, segment: int, overlap: float) -> Fades:
    """The same, faded; an overlap of 1 - 1/n is that package's `num_overlap` of n."""
    return Fades(frames, segment, max(1, int((1 - overlap) * segment + TINY)))
