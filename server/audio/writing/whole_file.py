"""A file that appears whole or not at all: written under another name, synced, renamed."""

import io
import os
from pathlib import Path
from typing import Self

from server.audio.peaks import PeakMeter
from server.audio.writing.checksum import HEAD, Checksum, Contents
from server.work.durable import sync_names
from server.work.scratch import part_of

# Bytes that are synced in one go: a slow disk takes longer for an hour of sound than a worker may
# be silent.
SYNCED = 32 << 20


class WholeFile:
    """Collects bytes in a temporary file beside `target`; left by an error it leaves nothing.

    To be overridden: `begin` for what comes first, `finish` for what is known only at the end.

    Attributes:
        contents: size and CRC-32 of the file, once it has appeared.
    """

    file: io.FileIO
    contents: Contents

    def __init__(self, target: Path) -> None:
        self.target = target
        self._part = part_of(target)
        self._checksum = Checksum()
        self._unsynced = 0

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of it; a raw file may take less at a time.

        Elsewhere than at the end of the file only its first HEAD bytes may be written.
        """
        view = memoryview(data)
        while view:
            position = self.file.tell()
            written = self.file.write(view)
            self._checksum.add(position, view[:written])
            view = view[written:]
            self._unsynced += written
        if self._unsynced >= SYNCED:
            os.fdatasync(self.file.fileno())
            self._unsynced = 0

    def begin(self) -> None:
        """Called when the file is open."""

    def finish(self) -> None:
        """Called when all is written and nothing has failed."""

    def __enter__(self) -> Self:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self._part, "w+b", buffering=0)
        try:
            self.begin()
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
                self._publish()
        finally:
            self._drop()

    def _publish(self) -> None:
        self.contents = self._checksum.finish(os.pread(self.file.fileno(), HEAD, 0))
        os.fsync(self.file.fileno())
        os.replace(self._part, self.target)
        sync_names(self.target)  # they too must outlive a power cut

    def _drop(self) -> None:
        self.file.close()
        self._part.unlink(missing_ok=True)


def write_peaks(meter: PeakMeter, target: Path) -> None:
    """Writes the pairs of all that the meter has heard."""
    with WholeFile(target) as file:
        file.append(meter.finish().tobytes())
