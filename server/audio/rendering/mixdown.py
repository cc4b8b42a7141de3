"""One mix of finished tracks, each times a gain, as a file; and a file of several such mixes.

Everything is heard twice: once to find its peak, once to be written, so that nothing clips.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from server.audio.finished import Frames
from server.audio.finished.sums import open_finer
from server.audio.writing.encode import WRITERS, joint_gain
from server.sound import CHANNELS
from server.work.steps import Steps, share

BLOCK = 1 << 15  # frames


class Part(Struct, frozen=True):
    """A finished track in a mix: its file, and a linear gain.

    finer: files whose sum, times `level`, is this track, and is rounded less.
    """

    path: str
    gain: float
    finer: tuple[str, ...] = ()
    level: float = 1.0


class Span(NamedTuple):
    """Which frames of the tracks."""

    start: int
    frames: int


class Mixer:
    """The sum of tracks, to be read block by block. A context manager."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def __enter__(self) -> "Mixer":
        with ExitStack() as stack:
            self._tracks: list[tuple[Frames, np.float32]] = []
            for part in self._parts:
                track = open_finer(Path(part.path), [*map(Path, part.finer)], part.level)
                stack.callback(track.close)
                self._tracks.append((track, np.float32(part.gain)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def blocks(self, span: Span) -> Iterator[np.ndarray]:
        """The sum in blocks, float32 (frames, 2). Raises EOFError: a track is shorter."""
        for start in range(span.start, span.start + span.frames, BLOCK):
            count = min(BLOCK, span.start + span.frames - start)
            total = np.zeros((count, CHANNELS), np.float32)
            for track, gain in self._tracks:
                block = track.read(start, count)
                if len(block) < count:
                    raise EOFError("a track is shorter than the mix")
                total += block * gain
            yield total


def mixdown(
    parts: Sequence[Part], target: Path, span: Span, format: str, samples: str
) -> Steps[None]:
    """Writes the sum of `parts` as `target`, which appears when it is complete.

    Where its highest sample would clip, the whole mix is scaled by one gain.

    Args:
        format: WAV, FLAC or MP3; samples: one of SAMPLES, as far as the format knows it.
    Raises:
        OSError, ValueError, EOFError: a track is gone, or damaged.
    """
    with Mixer(parts) as mixer:
        peak = yield from share(0, 2, highest(mixer, span))
        with WRITERS[format](target, span.frames, samples, joint_gain(peak, format)) as writer:
            done = 0
            for block in mixer.blocks(span):
                writer.write(block)
                done += len(block)
                yield (1 + done / span.frames) / 2


def highest(mixer: Mixer, span: Span) -> Steps[float]:
    """The highest sample of a mix."""
    peak, done = 0.0, 0
    for block in mixer.blocks(span):
        peak = max(peak, float(np.abs(block).max()))
        done += len(block)
        yield done / span.frames
    return peak
