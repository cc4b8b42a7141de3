"""What every reader gives: a source of decoded chunks, within the limits of what can be handled.

It knows no container and no decoder.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from server.errors import AudioError

MAX_CHANNELS = 8
SHORT = 0.1  # s: what is missing of a file for less brings no warning
RATES = range(1000, 768_001)  # Hz; beyond is a broken header, or a bomb (1 Hz: 14 kB are hours)


class Chunk(NamedTuple):
    """Decoded sound: `samples` is float32 of shape (samples, channels), at `rate` Hz.

    `channels` are FFmpeg's names ("FL", "FR", "FC", "LFE", ...), "NONE" where the file is silent
    about them. Full scale is 1.0; float files may hold anything, NaN too.
    """

    rate: int
    channels: tuple[str, ...]
    samples: np.ndarray


class Source(ABC):
    """An open audio file.

    Attributes:
        format: the public name of what it is.
        codec: what its sound is coded by, in words; None: as the format's name says.
        seconds: what it claims to last, a hint only; None where it claims nothing.
        track: which of its audio tracks is read, in words, where it holds several.
        read: seconds that have been read so far, kept by readers that can find damage.
        lost: those of them that are damaged.
        warnings: what was lost while it was read, a sentence each; complete once `chunks` ended.
    """

    codec: str | None = None
    track: str | None = None

    def __init__(self, format: str, seconds: float | None) -> None:
        self.format = format
        self.seconds = seconds
        self.read = self.lost = 0.0
        self.warnings: list[str] = []

    def check_end(self, seconds: float, claimed: float, margin: float = SHORT) -> None:
        """Warns of a file that ends more than `margin` seconds before its header says."""
        if claimed - seconds > margin:
            self.warnings.append(f"The file ends early: it holds {seconds:.1f} of {claimed:.1f} s")

    def check_lost(self) -> None:
        """Refuses, as AudioError, a file of which more than half is damaged."""
        if self.lost > self.read / 2:
            raise AudioError(
                f"Most of the audio cannot be decoded: {self.lost:.1f} of {self.read:.1f} s"
            )

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """All sound of the file, in order; ends early where a truncated file does.

        Raises:
            AudioError: a rate or a number of channels that cannot be handled.
        """


def check_limits(rate: int, channels: int) -> None:
    """Refuses, as AudioError, a rate or a number of channels that cannot be handled."""
    if rate not in RATES:
        raise AudioError(f"A sample rate of {rate} Hz is not supported")
    if not 0 < channels <= MAX_CHANNELS:
        raise AudioError(f"{channels} channels are not supported, at most {MAX_CHANNELS} are")


def nothing_decoded() -> AudioError:
    """The error for a file of a known format from which no sample comes."""
    return AudioError("No audio can be decoded from the file")
