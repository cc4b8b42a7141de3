"""Any part of a finished FLAC track, by libsndfile: its seeking is exact, and halves the way."""

import os
from pathlib import Path

import numpy as np
import soundfile

from server.sound import CHANNELS, SAMPLE_RATE


class FlacFrames:
    """A FLAC file of 16 or 24 bits."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)  # given a name, libsndfile does not say why
        try:
            self._sound = soundfile.SoundFile(descriptor, closefd=True)  # closed by errors, too
        except soundfile.LibsndfileError as error:
            raise ValueError(str(error)) from None
        if (self._sound.channels, self._sound.samplerate) != (CHANNELS, SAMPLE_RATE):
            self.close()
            raise ValueError("this is no track")
        self.frames = self._sound.frames
        self._position = 0

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        count = max(0, min(count, self.frames - start))
        try:
            if count and start != self._position:
                self._sound.seek(start)
            found = self._sound.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise EOFError(str(error)) from None
        if count:
            self._position = start + len(found)
        if len(found) < count:
            raise EOFError("the file ended early")
        return found

    def close(self) -> None:
        """As `Frames.close`."""
        self._sound.close()
