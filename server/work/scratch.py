"""Float32 audio files in a job's scratch folder: interleaved stereo frames, no header.

Stages hand over the paths of such files. They are read and appended in blocks by ordinary
file calls, not mapped: mapped pages would count as the worker's memory and grow with the song.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from server.sound import CHANNELS, FRAME_BYTES

PART = ".part"


def part_of(path: Path) -> Path:
    """The temporary name beside a file that is being written: this process's own, since an
    attempt that was given up may still be writing when the next one begins."""
    return path.with_name(f"{path.name}.{os.getpid()}{PART}")


def whole_of(part: Path) -> Path:
    """The file that `part_of` was asked about; any other path is what it was."""
    return part.with_suffix("").with_suffix("") if part.suffix == PART else part


def parts_of(path: Path) -> list[Path]:
    """What attempts have written so far of the scratch file `path`, those that died included."""
    return list(path.parent.glob(f"{path.name}.*{PART}"))


class FrameReader:
    """Random access to a scratch file, also to one that is still written: to the frames that it
    had when it was opened, which are final. Shapes are (frames, 2), float32."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by the context manager
        self.frames = os.fstat(self._file.fileno()).st_size // FRAME_BYTES

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def read(self, start: int, count: int) -> np.ndarray:
        """Frames `start` to `start + count`, fewer at the end of the file. Shape (<=count, 2)."""
        out = np.empty((max(0, min(count, self.frames - start)), CHANNELS), dtype="<f4")
        self.read_into(out, start)
        return out

    def read_into(self, out: np.ndarray, start: int) -> None:
        """Fills `out`, contiguous, with the frames from `start` on; the file must hold them."""
        view, offset = out.reshape(-1).view(np.uint8).data, start * FRAME_BYTES
        done = 0
        while done < len(view):
            got = os.preadv(self._file.fileno(), [view[done:]], offset + done)
            if got == 0:
                raise EOFError(f"{self._file.name} ended early")
            done += got

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """The whole file in blocks of `size` frames, the last one shorter."""
        for start in range(0, self.frames, size):
            yield self.read(start, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class FrameWriter:
    """Appends frames to a temporary file, renamed to `path` when closed without an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = part_of(path)
        self._file = open(self._part, "wb", buffering=0)  # noqa: SIM115 - closed in __exit__
        self.frames = 0

    def write(self, block: np.ndarray) -> None:
        """Appends a block of shape (frames, 2), of any layout and float type."""
        data = np.ascontiguousarray(block, dtype="<f4")
        view = data.reshape(-1).view(np.uint8).data
        while view:
            view = view[self._file.write(view) :]
        self.frames += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)
