"""An open file of bytes, or what of it stands behind tags, and how long it is."""

from typing import BinaryIO


class Behind:
    """An open file as if it began at byte `start`: enough of one to read headers from."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file; the end is the file's."""
        return self._file.seek(offset + (0 if whence else self._start), whence) - self._start

    def read(self, count: int = -1) -> bytes:
        """As of a file."""
        return self._file.read(count)


def file_size(file: BinaryIO) -> int:
    """Bytes in an open file, which is left at its end. Asks by seeking: a `Behind` has no number
    that the system knows, and is shorter than its file."""
    return file.seek(0, 2)
