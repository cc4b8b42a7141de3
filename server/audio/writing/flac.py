"""Writes FLAC tracks by libsndfile."""

from pathlib import Path

import numpy as np
import soundfile as sf

from server.audio.writing.track_writer import TrackWriter
from server.audio.writing.whole_file import WholeFile
from server.sound import CHANNELS, SAMPLE_RATE

LEVEL = 0.5  # of 0 to 1: beyond it, half as much work again saves one byte in a hundred


class FlacWriter(TrackWriter):
    """Writes a FLAC of a number of frames that is known before. Raises ValueError for FLOAT."""

    def __init__(
        self, target: Path, frames: int, wav_format: str, gain: float = 1.0,
        peaks: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(target, frames, wav_format, gain, peaks)
        if self.samples.floating:
            raise ValueError("FLAC has no floating samples")

    def begin(self) -> None:
        """Starts the encoder."""
        self._sink = Sink(self)
        self._sound = sf.SoundFile(
            self._sink, "w", SAMPLE_RATE, CHANNELS, f"PCM_{self.samples.bits}", format="FLAC",
            compression_level=LEVEL,
        )  # fmt: skip

    def put(self, block: np.ndarray) -> None:
        """Hands a block to the encoder. Raises OSError: it could not be written."""
        try:
            self._sound.write(self.integers(block))
        finally:
            self._sink.check()

    def finish(self) -> None:
        """Lets the encoder write its last block and correct its header."""
        try:
            self._sound.close()
        finally:
            self._sink.check()
        super().finish()

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self._sound.close()  # while there is still a file under it
        super().__exit__(kind, *error)


class Sink:
    """A file for libsndfile, which would print what is raised in it and go on: errors are kept."""

    def __init__(self, whole: WholeFile) -> None:
        self._whole = whole
        self._error: OSError | None = None
        self.seek, self.tell = whole.file.seek, whole.file.tell

    def write(self, data: bytes) -> int:
        """Writes all or nothing; returns how many bytes."""
        try:
            self._whole.append(data)
        except OSError as error:
            self._error = error
            return 0
        return len(data)

    def read(self, count: int = -1) -> bytes:
        """What libsndfile asks of every file, and never uses on one that is written."""
        return self._whole.file.read(count)

    def check(self) -> None:
        """Raises the OSError that a write ended with."""
        if self._error is not None:
            raise self._error
