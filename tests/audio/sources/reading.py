"""Reads files the way the house does, and writes samples and WAV files the way programs do."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.sources.opening import open_source

FRAMES = 441_000
RATE = 44_100
PCM_GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"


def read(path: Path) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """All samples of a file, shape (samples, channels), its rate and its channels' names."""
    with open_source(path, path.name) as source:
        chunks = list(source.chunks())
    assert len({(chunk.rate, len(chunk.channels)) for chunk in chunks}) == 1
    assert max(len(chunk.samples) for chunk in chunks) <= 1 << 14, "memory stays bounded"
    return np.concatenate([c.samples for c in chunks]), chunks[0].rate, chunks[-1].channels


def noise(frames: int = FRAMES, channels: int = 2) -> np.ndarray:
    """Integers over all of 32 bits, int64 of shape (frames, channels); both peaks are in it."""
    random = np.random.default_rng(frames * channels)
    values = random.integers(-(2**31), 2**31, (frames, channels))
    values[7] = -(2**31)
    values[11] = 2**31 - 1
    return values


def packed(values: np.ndarray, bits: int, width: int, order: str) -> bytes:
    """The top `bits` of 32-bit values, at the top of samples of `width` bytes."""
    top = values >> 32 - bits << 32 - bits
    octets = top.astype(">i4").reshape(-1, 1).view(np.uint8)[:, :width]
    if width > 4:
        octets = np.pad(octets, ((0, 0), (0, width - 4)))
    return (octets if order == "big" else octets[:, ::-1]).tobytes()


def expected(values: np.ndarray, bits: int) -> np.ndarray:
    """What the top `bits` of 32-bit values are as float32, full scale 1.0."""
    return ((values >> 32 - bits << 32 - bits) / 2**31).astype(np.float32)


def chunk(id: bytes, data: bytes, order: str = "little", size: int | None = None,
          pad: bool = True) -> bytes:  # fmt: skip
    """A chunk of a RIFF or an AIFF; `size` in place of the true one, `pad` if it is odd."""
    size = len(data) if size is None else size
    return id + size.to_bytes(4, order) + data + b"\0" * (len(data) % 2 and pad)


def form(kind: bytes, type: bytes, content: bytes, order: str = "little",
         size: int | None = None) -> bytes:  # fmt: skip
    """A RIFF or an AIFF around its chunks."""
    return chunk(kind, type + content, order, size, pad=False)


def fmt(tag: int = 1, channels: int = 2, bits: int = 16, width: int | None = None,
        order: str = "little", valid: int | None = None, mask: int = 0) -> bytes:  # fmt: skip
    """The content of a format chunk, extensible if `valid` bits are told."""
    sign, width = "<" if order == "little" else ">", width or bits // 8
    block = width * channels
    head = (channels, RATE, RATE * block, block, bits)
    if valid is None:
        return struct.pack(f"{sign}HHIIHH", tag, *head)
    extra = struct.pack(f"{sign}HHI", 22, valid, mask)
    guid = struct.pack(f"{sign}IHH", tag, 0, 16) + PCM_GUID[6:]
    return struct.pack(f"{sign}HHIIHH", 0xFFFE, *head) + extra + guid


def wav(data: bytes, format: bytes | None = None, before: bytes = b"", after: bytes = b"",
        size: int | None = None, total: int | None = None, order: str = "little",
        kind: bytes = b"RIFF") -> bytes:  # fmt: skip
    """A WAV; `size` and `total` stand in place of the true sizes of the samples and the file."""
    content = chunk(b"fmt ", fmt() if format is None else format, order) + before
    content += chunk(b"data", data, order, size) + after
    return form(kind, b"WAVE", content, order, total)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return noise()
