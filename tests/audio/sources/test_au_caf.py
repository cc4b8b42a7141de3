"""AU and CAF with plain samples, also streams whose length was never filled in."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import probe
from server.errors import AudioError

from .reading import FRAMES, RATE, expected, noise, packed, read
from .reading import values as values
from .test_aiff import aiff, big, comm, ssnd


def au(data: bytes, size: int, encoding: int, order: str = "big", start: int = 28) -> bytes:
    sign, magic = (">", b".snd") if order == "big" else ("<", b"dns.")
    head = struct.pack(f"{sign}IIIII", start, size, encoding, RATE, 2)
    return (magic + head).ljust(start, b"\0") + data


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(("encoding", "bits"), [(2, 8), (3, 16), (4, 24), (5, 32)])
@pytest.mark.parametrize("size", ["true", 0, 0xFFFFFFFF, 0xFFFFFFF0])
def test_au(
    tmp_path: Path, values: np.ndarray, encoding: int, bits: int, order: str, size: object
) -> None:
    data = packed(values, bits, bits // 8, order)
    source = tmp_path / "x"
    source.write_bytes(au(data, len(data) if size == "true" else size, encoding, order))
    samples, rate, _ = read(source)
    assert rate == RATE
    assert np.array_equal(samples, expected(values, bits))


def test_what_follows_the_samples_of_an_au_is_no_sound(tmp_path: Path, values: np.ndarray) -> None:
    data = packed(values[:1000], 16, 2, "big")
    source = tmp_path / "x"
    source.write_bytes(au(data, len(data), 3) + bytes(1000))
    assert np.array_equal(read(source)[0], expected(values[:1000], 16))


def caf(data: bytes, size: int, flags: int, bits: int, width: int, before: bytes = b"") -> bytes:
    desc = struct.pack(">d4sIIIII", RATE, b"lpcm", flags, 2 * width, 1, 2, bits)
    parts = b"desc" + struct.pack(">q", len(desc)) + desc + before
    return b"caff\0\1\0\0" + parts + b"data" + struct.pack(">q", size) + bytes(4) + data


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(("bits", "width"), [(8, 1), (16, 2), (24, 3), (24, 4), (32, 4)])
@pytest.mark.parametrize("size", ["true", -1, 0, 1 << 62])
def test_caf(
    tmp_path: Path, values: np.ndarray, order: str, bits: int, width: int, size: object
) -> None:
    data = packed(values, bits, width, order)
    told = len(data) + 4 if size == "true" else size
    free = b"free" + struct.pack(">q", 33) + bytes(33)  # no chunk of a CAF is padded
    source = tmp_path / "x"
    source.write_bytes(caf(data, told, 0 if order == "big" else 2, bits, width, free))
    samples, rate, _ = read(source)
    assert rate == RATE
    assert np.array_equal(samples, expected(values, bits))
    assert len(samples) == FRAMES


@pytest.mark.parametrize("data", [
    b"caff\0\1\0\0", b"caff\0\1\0\0desc", caf(b"", 4, 0, 16, 2), caf(bytes(99), 4, 0, 0, 0),
    au(b"", 0, 3), au(bytes(99), 99, 3)[:20], au(bytes(99), 99, 77),
    b".snd\x7f\0\0\0" + bytes(40),
])  # fmt: skip
def test_what_cannot_be_read_is_said(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "x"
    source.write_bytes(data)
    with pytest.raises(AudioError):
        probe(source, "x.au")


@pytest.mark.parametrize(("layout", "names"), [
    ((121 << 16 | 6, 0, 0), ("FL", "FR", "FC", "LFE", "BL", "BR")),
    ((124 << 16 | 6, 0, 0), ("FC", "FL", "FR", "BL", "BR", "LFE")),
    ((0x10000, 0x60F, 0), ("FL", "FR", "FC", "LFE", "SL", "SR")),
    ((0, 0, 6, *(n for label in (3, 1, 2, 5, 6, 4) for n in (label, 0, 0, 0, 0))),
     ("FC", "FL", "FR", "BL", "BR", "LFE")),
    ((0, 0, 6, *(n for label in (1, 2, 33, 34, 37, 999) for n in (label, 0, 0, 0, 0))),
     ("FL", "FR", "BL", "BR", "LFE2", "NONE")),
    ((142 << 16 | 6, 0, 0), ("NONE",) * 6),
    ((139 << 16 | 6, 0, 0), ("FL", "FR", "BL", "BR", "FC", "BC")),
    ((101 << 16 | 2, 0, 0), ("NONE",) * 6), ((), ("NONE",) * 6), ((0, 0, 1 << 31), ("NONE",) * 6),
])  # fmt: skip
@pytest.mark.parametrize("container", ["caf", "aiff"])
def test_speakers(
    tmp_path: Path, layout: tuple[int, ...], names: tuple[str, ...], container: str
) -> None:
    data = struct.pack(f">{len(layout)}I", *layout)
    values = noise(3000, 6)
    samples = packed(values, 16, 2, "big")
    source = tmp_path / "x"
    if container == "caf":
        desc = struct.pack(">qd4sIIIII", 32, RATE, b"lpcm", 0, 12, 1, 6, 16)
        chan = b"chan" + struct.pack(">q", len(data)) + data
        sound = b"data" + struct.pack(">q", -1) + bytes(4) + samples
        source.write_bytes(b"caff\0\1\0\0desc" + desc + chan + sound)
    else:
        content = comm(channels=6) + big(b"CHAN", data) + ssnd(samples)
        source.write_bytes(aiff(content))
    found, _, channels = read(source)
    assert channels == names
    assert np.array_equal(found, expected(values, 16))
