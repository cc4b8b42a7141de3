"""What a segment hears of its song, and beyond the song's ends. Knows no model."""

import numpy as np

from server.engine.songs.segments import Cuts
from server.work.scratch import FrameReader


def read_segment(mix: FrameReader, cuts: Cuts, index: int, out: np.ndarray) -> None:
    """A segment as the model wants it, into `out`: float32 (padded, 2), contiguous.

    What lies around it is the song itself, and beyond its ends silence; or, where the cuts say
    so, the song mirrored there.
    """
    start = cuts.start(index) - cuts.before(index, len(out))
    if cuts.mirrored:
        _read_mirrored(mix, start, out, cuts.length(index))
        return
    first, last = _read_inside(mix, start, out)
    out[:first] = 0
    out[last:] = 0


def _read_mirrored(mix: FrameReader, start: int, out: np.ndarray, length: int) -> None:
    """The song goes on for `length` frames from `start`, the input goes on from there: mirrored
    again if it is more than half full, else silent, as Music-Source-Separation-Training has it."""
    song = out[:length]
    first, last = _read_inside(mix, start, song)
    song[:first] = mix.read(1, first)[::-1]
    rest = length - last
    song[last:] = mix.read(mix.frames - 1 - rest, rest)[::-1]
    lacking = len(out) - length
    if length > len(out) // 2:
        out[length:] = out[length - 1 - lacking : length - 1][::-1]
    else:
        out[length:] = 0


def _read_inside(mix: FrameReader, start: int, out: np.ndarray) -> tuple[int, int]:
    """The part that is within the song: where it begins and ends in `out`."""
    first = max(0, -start)
    last = min(len(out), mix.frames - start)
    mix.read_into(out[first:last], start + first)
    return first, last
