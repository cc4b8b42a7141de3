"""WAV headers as programs write them: every sample comes out equal to the one that went in."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.decode import probe
from server.errors import AudioError

from ..making import song, write_sound
from .reading import FRAMES, RATE, chunk, expected, fmt, form, noise, packed, read, wav
from .reading import values as values


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("bits", "width", "valid"), [
    (16, 2, None), (24, 3, None), (32, 4, None), (20, 3, None), (12, 2, None), (64, 8, None),
    (16, 2, 16), (24, 3, 24), (32, 4, 24), (32, 4, 32), (24, 3, 20), (16, 2, 12), (32, 4, 20),
    (24, 4, 24),
])  # fmt: skip
def test_integers_of_any_width(
    tmp_path: Path, values: np.ndarray, order: str, bits: int, width: int, valid: int | None
) -> None:
    used = min(valid or bits, 32)
    kind = b"RIFF" if order == "little" else b"RIFX"
    data = packed(values, used, width, order)
    source = tmp_path / "x"
    source.write_bytes(wav(data, fmt(1, 2, bits, width, order, valid), order=order, kind=kind))
    samples, rate, _ = read(source)
    assert rate == RATE
    assert np.array_equal(samples, expected(values, used))
    assert (samples.min(), samples.max()) == (-1, np.float32(1 - 2.0 ** (1 - used)))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("valid", [None, 8])
def test_eight_bits_have_no_sign(tmp_path: Path, order: str, valid: int | None) -> None:
    octets = np.arange(FRAMES * 2, dtype=np.int64).reshape(-1, 2) % 256
    kind = b"RIFF" if order == "little" else b"RIFX"
    source = tmp_path / "x"
    data = octets.astype(np.uint8).tobytes()
    source.write_bytes(wav(data, fmt(1, 2, 8, 1, order, valid), order=order, kind=kind))
    assert np.array_equal(read(source)[0], ((octets - 128) / 128).astype(np.float32))


@pytest.mark.parametrize("kind", ["RIFF", "RIFX"])
@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("width", [4, 8])
def test_floats(tmp_path: Path, kind: str, width: int, valid: bool) -> None:
    samples = song(FRAMES / RATE) * 3
    order = "little" if kind == "RIFF" else "big"
    data = samples.astype(f"{'<' if order == 'little' else '>'}f{width}").tobytes()
    format = fmt(3, 2, width * 8, width, order, width * 8 if valid else None)
    source = tmp_path / "x"
    source.write_bytes(wav(data, format, order=order, kind=kind.encode()))
    assert np.array_equal(read(source)[0], samples)


@pytest.mark.parametrize(("container", "endian", "subtype"), [
    case for case in product(
        ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"), ("FILE", "LITTLE", "BIG"),
        ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    ) if soundfile.check_format(case[0], case[2], case[1])
])  # fmt: skip
def test_the_same_as_libsndfile(tmp_path: Path, container: str, endian: str, subtype: str) -> None:
    source = write_sound(
        tmp_path / "x", song(0.5), format=container, subtype=subtype, endian=endian
    )
    wanted, rate = soundfile.read(source, dtype="float64", always_2d=True)
    samples, ours, _ = read(source)
    assert ours == rate
    assert np.array_equal(samples, wanted.astype(np.float32))


@pytest.mark.parametrize("block", [0, 1, 3, 65535])
def test_a_block_size_that_cannot_be(tmp_path: Path, values: np.ndarray, block: int) -> None:
    format = bytearray(fmt())
    format[12:14] = struct.pack("<H", block)
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"), bytes(format)))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize(("mask", "channels", "names"), [
    (0x3F, 6, ("FL", "FR", "FC", "LFE", "BL", "BR")),
    (0x60F, 6, ("FL", "FR", "FC", "LFE", "SL", "SR")),
    (0x63F, 8, ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")),
    (0x4, 1, ("FC",)), (0x3, 4, ("NONE",) * 4), (0, 3, ("NONE",) * 3),
    (0x80000003, 3, ("NONE",) * 3),
])  # fmt: skip
def test_channel_masks(tmp_path: Path, mask: int, channels: int, names: tuple[str, ...]) -> None:
    values = noise(5000, channels)
    format = fmt(channels=channels, bits=24, valid=24, mask=mask)
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 24, 3, "little"), format))
    samples, _, found = read(source)
    assert found == names
    assert np.array_equal(samples, expected(values, 24))


@pytest.mark.parametrize("content", [
    chunk(b"fmt ", fmt()), chunk(b"data", bytes(400)), b"",
    chunk(b"fmt ", b"") + chunk(b"data", b""),
    chunk(b"fmt ", fmt(channels=0)) + chunk(b"data", bytes(400)),
    chunk(b"fmt ", fmt(bits=0)) + chunk(b"data", bytes(400)),
    chunk(b"fmt ", fmt(3, bits=16)) + chunk(b"data", bytes(400)),
])  # fmt: skip
@pytest.mark.parametrize("kind", [b"RIFF", b"RIFX"])
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes, kind: bytes) -> None:
    source = tmp_path / "x"
    source.write_bytes(form(kind, b"WAVE", content))
    with pytest.raises(AudioError):
        probe(source, "x.wav")


@pytest.mark.parametrize(("bits", "extra"), [(24, b""), (24, b"\0\0"), (32, b"\2\0\1\0")])
def test_floats_of_cool_edit(tmp_path: Path, bits: int, extra: bytes) -> None:
    samples = song(FRAMES / RATE)
    data = (samples * 2.0 ** (23 if bits == 24 else 15)).astype("<f4").tobytes()
    source = tmp_path / "x"
    source.write_bytes(wav(data, fmt(1, 2, bits, 4) + extra))
    assert np.array_equal(read(source)[0], samples)


@pytest.mark.parametrize("tag", [1, 0xFFFE])
def test_integers_at_the_top_of_wider_samples_are_none(
    tmp_path: Path, values: np.ndarray, tag: int
) -> None:
    source = tmp_path / "x"
    format = fmt(1, 2, 24, 4, valid=24 if tag == 0xFFFE else None)
    source.write_bytes(wav(packed(values, 24, 4, "little"), format))
    assert np.array_equal(read(source)[0], expected(values, 24))
