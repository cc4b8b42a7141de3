"""A float32 scratch file to a track: WAV, FLAC or MP3, times a gain."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np

from server.audio import Report
from server.audio.compressed import FlacWriter, Mp3Writer
from server.audio.wav import WavWriter
from server.scratch import FrameReader

BLOCK = 1 << 15  # frames; small enough for a core's own cache
# The highest sample that a set of tracks may hold before it is encoded: what 16 bits can say; 1 dB
# less for MP3, since a song decodes to a little more than what was encoded.
FULL = 1 - 2**-15
CEILINGS = MappingProxyType({"WAV": FULL, "FLAC": FULL, "MP3": 10 ** (-1 / 20)})


class Writer(Protocol):
    """Takes a track's blocks; the file appears when the context is left without an error."""

    def write(self, block: np.ndarray) -> None:
        """Appends a float32 block of shape (frames, 2)."""


WRITERS: MappingProxyType[str, Callable[..., AbstractContextManager[Any]]] = MappingProxyType(
    {"WAV": WavWriter, "FLAC": FlacWriter, "MP3": Mp3Writer}
)


def encode(
    source: Path,
    target: Path,
    wav_format: str,
    gain: float = 1.0,
    report: Report | None = None,
    format: str = "WAV",
) -> int:
    """Writes the F32 file `source` as the track `target`, which appears when it is complete.

    Args:
        wav_format: PCM_16, PCM_24 or (WAV alone) FLOAT; MP3 has none.
        gain: a linear factor; integers are clipped after it, float is not.
        report: is told how far it is; what it raises leaves no file.
        format: WAV, FLAC or MP3 (320 kbit/s).

    Returns:
        The size of `target` in bytes.
    """
    with FrameReader(source) as reader:
        opened = WRITERS[format](target, reader.frames, wav_format, gain)
        with opened as entered:
            writer, done = cast(Writer, entered), 0
            for block in reader.blocks(BLOCK):
                writer.write(block)
                done += len(block)
                if report is not None:
                    report(done / reader.frames)
    return target.stat().st_size


def joint_gain(peak: float, format: str) -> float:
    """The one gain of a set of tracks whose highest sample is `peak`: 1 unless that clips.

    Scaled together, the tracks still add up to the (scaled) mix.
    """
    ceiling = CEILINGS[format]
    return 1.0 if peak <= ceiling else ceiling / peak
