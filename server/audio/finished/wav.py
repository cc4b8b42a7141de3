"""Any part of a finished WAV track: what is asked for is read, and nothing else."""

import os
import struct
from pathlib import Path

import numpy as np

from server.sound import CHANNELS, SAMPLE_RATE

_HEAD_BYTES = 256  # more than the chunks in front of the data
_PCM, _FLOAT = 1, 3  # wFormatTag
_ELSEWHERE = 0xFFFFFFFF  # "see ds64", in RF64


class WavFrames:
    """A WAV or RF64 file of 16 or 24 bits or of floats."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by who opened it
        try:
            head = os.pread(self._file.fileno(), _HEAD_BYTES, 0)
            self._bits, self._data, size = _layout(head)
        except BaseException:
            self.close()
            raise
        self._frame_bytes = CHANNELS * self._bits // 8
        self.frames = size // self._frame_bytes

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        count = max(0, min(count, self.frames - start))
        offset, size = self._data + start * self._frame_bytes, count * self._frame_bytes
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise EOFError(f"{self._file.name} ended early")
        return _to_float(data, self._bits).reshape(count, CHANNELS)

    def close(self) -> None:
        """As `Frames.close`."""
        self._file.close()


def _layout(head: bytes) -> tuple[int, int, int]:
    """Bits of a sample, and where the samples begin, and their bytes. Raises ValueError."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        raise ValueError("this is no WAV file")
    position, bits, large = 12, 0, 0
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        position += 8
        if name == b"data" and bits:
            return bits, position, large if size == _ELSEWHERE else size
        if name == b"ds64":
            large = struct.unpack_from("<8xQ", head, position)[0]
        if name == b"fmt ":
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, position)
            if (channels, rate) != (CHANNELS, SAMPLE_RATE):
                raise ValueError(f"{channels} channels at {rate} Hz")
            if (tag, bits) not in ((_PCM, 16), (_PCM, 24), (_FLOAT, 32)):
                raise ValueError(f"samples of kind {tag} with {bits} bits")
        position += size + size % 2
    raise ValueError("this WAV file has no samples")


def _to_float(data: bytes, bits: int) -> np.ndarray:
    if bits == 32:
        return np.frombuffer(data, "<f4")
    if bits == 16:
        return np.multiply(np.frombuffer(data, "<i2"), 2**-15, dtype=np.float32)
    octets = np.zeros((len(data) // 3, 4), np.uint8)
    octets[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)  # the low byte of 32 is empty
    return np.multiply(octets.view("<i4").reshape(-1), 2**-31, dtype=np.float32)
