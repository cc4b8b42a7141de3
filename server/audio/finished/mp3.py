"""Any part of a finished MP3 track: its frames have one rate, so any of them can be found."""

import os
from pathlib import Path
from typing import Final

import av
import numpy as np

from server.audio.writing import mp3_layout as layout
from server.sound import CHANNELS

BEHIND: Final = 529 + layout.DELAY  # samples by which a decoder's answer comes late
# What is heard in a frame depends on the ones before: on the bits that they kept for it (511 bytes
# at most), on the overlap of the transform and the filter bank's memory, each of one frame.
RUN_UP: Final = 4  # frames
NEAR: Final = 64  # bytes: how far a frame may lie from where it is on average


class Mp3Frames:
    """An MP3 file of ours, decoded by FFmpeg."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by who opened it
        try:
            self._count, self.frames = layout.read_tag(self._bytes(0, layout.TAG_BYTES))
        except BaseException:
            self.close()
            raise

    def read(self, start: int, count: int) -> np.ndarray:
        """As `Frames.read`."""
        count = max(0, min(count, self.frames - start))
        if not count:
            return np.zeros((0, CHANNELS), np.float32)
        first = (start + BEHIND) // layout.FRAME
        last = (start + count - 1 + BEHIND) // layout.FRAME
        begin = max(0, first - RUN_UP)
        decoded = self._decode(begin, last + 1)
        offset = start + BEHIND - begin * layout.FRAME
        found = decoded[offset : offset + count]
        if len(found) < count:
            raise EOFError(f"{self._file.name} ended early")
        return found

    def close(self) -> None:
        """As `Frames.close`."""
        self._file.close()

    def _decode(self, begin: int, end: int) -> np.ndarray:
        """MP3 frames `begin` to `end` as float32 (samples, 2); behind the last one, silence."""
        decoder = av.CodecContext.create("mp3float", "r")
        out = np.zeros(((end - begin) * layout.FRAME, CHANNELS), np.float32)
        position = 0
        for packet in self._packets(begin, min(end, self._count)):
            for frame in decoder.decode(av.Packet(packet)):  # type: ignore[attr-defined]
                out[position : position + frame.samples] = frame.to_ndarray().T
            position += layout.FRAME
        return out

    def _packets(self, begin: int, end: int) -> list[bytes]:
        data = self._bytes(
            max(0, round(layout.TAG_BYTES + begin * layout.FRAME_BYTES) - NEAR),
            round((end - begin) * layout.FRAME_BYTES) + 2 * NEAR,
        )
        position = _next_frame(data)
        packets = []
        for _ in range(begin, end):
            size = layout.frame_bytes(data[position : position + 4])
            if size is None or position + size > len(data):
                raise EOFError(f"{self._file.name} ended early")
            packets.append(data[position : position + size])
            position += size
        return packets

    def _bytes(self, start: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count, start)


def _next_frame(data: bytes) -> int:
    """Where the first frame begins that is followed by another, or by the end."""
    for position in range(min(2 * NEAR, len(data))):
        size = layout.frame_bytes(data[position : position + 4])
        if size is not None:
            behind = data[position + size : position + size + 4]
            if len(behind) < 4 or layout.frame_bytes(behind) is not None:
                return position
    raise EOFError("no frame where one should be")
