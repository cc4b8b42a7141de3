"""AIFF and AIFF-C as programs write them: every frame comes out, equal to what went in."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import probe
from server.audio.sources.readers.aiff import extended
from server.errors import AudioError

from ..making import song
from .reading import FRAMES, RATE, chunk, expected, form, packed, read
from .reading import values as values

RATE_80 = bytes.fromhex("400eac44000000000000")  # 44,100 as an 80-bit float


def big(id: bytes, data: bytes, size: int | None = None, pad: bool = True) -> bytes:
    return chunk(id, data, "big", size, pad)


def comm(bits: int = 16, channels: int = 2, frames: int = FRAMES, type: bytes = b"") -> bytes:
    """A common chunk; with a compression `type`, that of an AIFF-C."""
    name = b"\3odd" if type else b""  # a Pascal string
    return big(b"COMM", struct.pack(">HIH", channels, frames, bits) + RATE_80 + type + name)


def ssnd(data: bytes, offset: int = 0, size: int | None = None) -> bytes:
    return big(b"SSND", struct.pack(">II", offset, 0) + bytes(offset) + data, size)


def aiff(content: bytes, type: bytes = b"AIFF", total: int | None = None) -> bytes:
    return form(b"FORM", type, content, "big", total)


@pytest.mark.parametrize(("bits", "width"), [
    (8, 1), (16, 2), (24, 3), (32, 4), (12, 2), (20, 3), (1, 1),
])  # fmt: skip
def test_integers_of_any_width(tmp_path: Path, values: np.ndarray, bits: int, width: int) -> None:
    source = tmp_path / "x"
    source.write_bytes(aiff(comm(bits) + ssnd(packed(values, bits, width, "big"))))
    samples, rate, _ = read(source)
    assert rate == RATE
    assert np.array_equal(samples, expected(values, bits))


@pytest.mark.parametrize(("type", "bits", "order"), [
    (b"NONE", 16, "big"), (b"twos", 16, "big"), (b"sowt", 16, "little"), (b"twos", 24, "big"),
    (b"sowt", 24, "little"), (b"in24", 24, "big"), (b"42ni", 24, "little"), (b"in32", 32, "big"),
    (b"23ni", 32, "little"), (b"NONE", 8, "big"), (b"sowt", 8, "little"),
])  # fmt: skip
def test_integers_of_aiff_c(
    tmp_path: Path, values: np.ndarray, type: bytes, bits: int, order: str
) -> None:
    data = packed(values, bits, bits // 8, order)
    source = tmp_path / "x"
    source.write_bytes(aiff(comm(bits, type=type) + ssnd(data), b"AIFC"))
    assert np.array_equal(read(source)[0], expected(values, bits))


@pytest.mark.parametrize(("type", "width"), [
    (b"fl32", 4), (b"FL32", 4), (b"fl64", 8), (b"FL64", 8),
])  # fmt: skip
def test_floats(tmp_path: Path, type: bytes, width: int) -> None:
    samples = song(FRAMES / RATE) * 3
    content = comm(8 * width, type=type) + ssnd(samples.astype(f">f{width}").tobytes())
    source = tmp_path / "x"
    source.write_bytes(aiff(content, b"AIFC"))
    assert np.array_equal(read(source)[0], samples)


def test_raw_has_no_sign(tmp_path: Path) -> None:
    octets = np.arange(FRAMES * 2).reshape(-1, 2) % 256
    source = tmp_path / "x"
    content = comm(8, type=b"raw ") + ssnd(octets.astype(np.uint8).tobytes())
    source.write_bytes(aiff(content, b"AIFC"))
    assert np.array_equal(read(source)[0], ((octets - 128) / 128).astype(np.float32))


@pytest.mark.parametrize("total", [0, 4, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("size", [0, 8, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("frames", [0, FRAMES, 0xFFFFFFFF])
def test_sizes_that_were_never_filled_in(
    tmp_path: Path, values: np.ndarray, frames: int, size: int, total: int
) -> None:
    content = comm(frames=frames) + ssnd(packed(values, 16, 2, "big"), size=size)
    source = tmp_path / "x"
    source.write_bytes(aiff(content, total=total))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("offset", [0, 4, 512])
def test_samples_may_begin_at_an_offset(tmp_path: Path, values: np.ndarray, offset: int) -> None:
    content = comm(24) + ssnd(packed(values, 24, 3, "big"), offset)
    source = tmp_path / "x"
    source.write_bytes(aiff(content + big(b"NAME", b"a title")))
    assert np.array_equal(read(source)[0], expected(values, 24))


@pytest.mark.parametrize("pad", [True, False])
def test_odd_chunks_with_their_pad_byte_or_without(
    tmp_path: Path, values: np.ndarray, pad: bool
) -> None:
    source = tmp_path / "x"
    before = b"".join(big(id, b"odd", pad=pad) for id in (b"NAME", b"(c) ", b"ANNO", b"own1"))
    source.write_bytes(aiff(before + ssnd(packed(values, 16, 2, "big")) + comm()))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("rate", [1000, 8000, 44_056, 44_100, 192_000, 768_000])
def test_rates(rate: int) -> None:
    exponent = rate.bit_length() - 1
    written = struct.pack(">HQ", 16383 + exponent, rate << 63 - exponent)
    assert extended(written) == rate
    assert extended(bytes(10)) == extended(b"\xff" * 10) == extended(b"\x7f\xff" + bytes(8)) == 0


@pytest.mark.parametrize("content", [
    comm(), ssnd(bytes(400)), b"", comm(bits=0) + ssnd(bytes(400)), comm(40) + ssnd(bytes(400)),
    comm(channels=0) + ssnd(bytes(400)), comm() + ssnd(b""), big(b"COMM", b"") + ssnd(bytes(400)),
    comm(type=b"what") + ssnd(bytes(400)),
])  # fmt: skip
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "x"
    source.write_bytes(aiff(content, b"AIFC"))
    with pytest.raises(AudioError):
        probe(source, "x.aiff")
