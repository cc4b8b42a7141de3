"""Plain samples in a file, as most containers of uncompressed sound hold them: a range of bytes.

It knows codings of samples, no container.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from server.audio.sources.source import Chunk, Source, check_limits, nothing_decoded

BLOCK = 1 << 14  # frames
Kind = Literal["signed", "unsigned", "float", "alaw", "ulaw"]
_WIDTHS: Mapping[Kind, tuple[int, ...]] = {
    "signed": (1, 2, 3, 4, 8),
    "unsigned": (1,),
    "float": (4, 8),
    "alaw": (1,),
    "ulaw": (1,),
}  # bytes


class Coding(NamedTuple):
    """How one sample is written. Integers of fewer bits than their bytes hold stand at the top."""

    kind: Kind
    width: int  # bytes
    big: bool = False  # most significant byte first
    full_scale: float = 1.0  # of floats


class Extent(NamedTuple):
    """Where in a file samples are, in bytes."""

    start: int
    end: int
    claimed: int = 0  # how many the file claims to hold; 0: nothing to believe


class PcmSource(Source):
    """Samples in a stretch of an open file, frame by frame.

    Raises:
        AudioError: a rate, a number of channels or a width of samples that there is not.
    """

    def __init__(
        self, format: str, file: BinaryIO, extent: Extent, coding: Coding, rate: int,
        channels: tuple[str, ...],
    ) -> None:  # fmt: skip
        check_limits(rate, len(channels))
        if coding.width not in _WIDTHS[coding.kind]:
            raise nothing_decoded()
        self._file, self._coding, self._rate, self._channels = file, coding, rate, channels
        self._start = extent.start
        self._frame_bytes = coding.width * len(channels)
        self._frames = max(0, extent.end - extent.start) // self._frame_bytes
        self._claimed = extent.claimed // self._frame_bytes
        super().__init__(format, self._frames / rate or None)

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. A frame that the file's end cuts is left out."""
        self._file.seek(self._start)
        left = self._frames
        while left and (data := self._file.read(min(left, BLOCK) * self._frame_bytes)):
            frames = len(data) // self._frame_bytes
            samples = to_float(data[: frames * self._frame_bytes], self._coding)
            yield Chunk(self._rate, self._channels, samples.reshape(frames, -1))
            left -= min(left, BLOCK)
        self.check_end(self._frames / self._rate, self._claimed / self._rate)


def to_float(data: bytes, coding: Coding) -> np.ndarray:
    """Samples as float32, full scale 1.0."""
    if coding.kind in ("alaw", "ulaw"):
        table = _alaw() if coding.kind == "alaw" else _ulaw()
        return table[np.frombuffer(data, np.uint8)]
    if coding.kind == "float":
        raw = np.frombuffer(data, f"{_sign(coding)}f{coding.width}")
        with np.errstate(all="ignore"):  # a double beyond float32 becomes inf, handled later
            if coding.full_scale != 1:
                return np.multiply(raw, 1 / coding.full_scale, dtype=np.float32)
            return raw.astype(np.float32, copy=False)
    values = _integers(data, coding)
    return np.multiply(values, 1 / (1 << 8 * values.dtype.itemsize - 1), dtype=np.float32)


def _integers(data: bytes, coding: Coding) -> np.ndarray:
    if coding.kind == "unsigned":
        return (np.frombuffer(data, np.uint8) ^ np.uint8(0x80)).view(np.int8)
    if coding.width != 3:
        return np.frombuffer(data, f"{_sign(coding)}i{coding.width}")
    # Four bytes at every third, so that the sample stands at the top and a neighbour's byte below.
    near = data + b"\0" if coding.big else b"\0" + data
    wide = np.ndarray((len(data) // 3,), f"{_sign(coding)}i4", near, strides=(3,))
    return wide & -256


def _sign(coding: Coding) -> str:
    return ">" if coding.big else "<"


def _alaw() -> np.ndarray:
    """The samples of the 256 codes of A-law (ITU-T G.711, table 1)."""
    code = np.arange(256) ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    size = np.where(segment, (2 * step + 33) << np.maximum(segment, 1) - 1, 2 * step + 1) << 3
    return (np.where(code & 0x80, size, -size) / 32768).astype(np.float32)


def _ulaw() -> np.ndarray:
    """The samples of the 256 codes of mu-law (ITU-T G.711, table 2)."""
    code = np.arange(256) ^ 0xFF
    size = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return (np.where(code & 0x80, -size, size) / 32768).astype(np.float32)
