"""WAV headers as programs write them: every frame comes out, equal to the sample that went in."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.decode import probe
from server.audio.sources.opening import open_source
from server.errors import AudioError

from ..making import song, write_sound
from .reading import FRAMES, RATE, chunk, expected, form, noise, packed, read

PCM_GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
UNFILLED = [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000]


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


@pytest.mark.parametrize("size", UNFILLED)
@pytest.mark.parametrize("total", [*UNFILLED, 36])
def test_sizes_that_were_never_filled_in(
    tmp_path: Path, values: np.ndarray, size: int, total: int
) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"), size=size, total=total))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("size", [2, 1000, 4 * FRAMES // 2, 4 * FRAMES + 1, 5 * FRAMES])
def test_a_wrong_size_in_a_file_that_knows_its_own(
    tmp_path: Path, values: np.ndarray, size: int
) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"), size=size))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("tail", [
    chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"), chunk(b"xyz ", b"odd"), b"TAG" + bytes(125),
    b"junk of no size", b"\0" * 10, chunk(b"id3 ", b"cut", size=100),
])  # fmt: skip
def test_what_comes_behind_the_samples_is_no_sound(
    tmp_path: Path, values: np.ndarray, tail: bytes
) -> None:
    data = packed(values[:1000], 16, 2, "little")
    source = tmp_path / "x"
    source.write_bytes(wav(data) + tail)
    assert np.array_equal(read(source)[0], expected(values[:1000], 16))


@pytest.mark.parametrize("size", UNFILLED)
@pytest.mark.parametrize("tail", [
    chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"), chunk(b"id3 ", bytes(100_000)),
    chunk(b"LIST", b"odd") + chunk(b"id3 ", b"odd", pad=False),
])  # fmt: skip
def test_chunks_behind_samples_of_no_size_are_no_sound(
    tmp_path: Path, values: np.ndarray, tail: bytes, size: int
) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values[:1000], 16, 2, "little"), size=size, total=size) + tail)
    assert np.array_equal(read(source)[0], expected(values[:1000], 16))


def test_an_empty_file_with_a_title_is_empty(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(b"", after=chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0")))
    with open_source(source, "x") as opened:
        assert list(opened.chunks()) == []


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("junk", [b"", b"x", b"odd", b"even", bytes(601)])
@pytest.mark.parametrize("id", [b"LIST", b"bext", b"id3 ", b"JUNK", b"PEAK", b"own1"])
def test_chunks_in_front_with_their_pad_byte_or_without(
    tmp_path: Path, values: np.ndarray, id: bytes, junk: bytes, pad: bool
) -> None:
    data = packed(values, 16, 2, "little")
    before = (
        chunk(id, junk, pad=pad)
        + chunk(b"fact", struct.pack("<I", 1))
        + chunk(b"cue ", junk, pad=pad)
    )
    source = tmp_path / "x"
    source.write_bytes(wav(data, before=before))
    assert np.array_equal(read(source)[0], expected(values, 16))


def test_a_pad_byte_that_is_not_zero(tmp_path: Path, values: np.ndarray) -> None:
    source = tmp_path / "x"
    before = chunk(b"LIST", b"odd", pad=False) + b" "
    source.write_bytes(wav(packed(values, 16, 2, "little"), before=before))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("wrong", [-10, -3, -1, 1, 2, 17, 10_000_000, 0xFFFFFF00])
def test_another_chunk_s_wrong_size_does_not_lead_astray(
    tmp_path: Path, values: np.ndarray, wrong: int
) -> None:
    text = b"INFOIART" + b"a text about data and fmt of some length"
    before = chunk(b"LIST", text, size=(len(text) + wrong) % (1 << 32))
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"), before=before))
    assert np.array_equal(read(source)[0], expected(values, 16))


def test_the_samples_may_come_before_their_format(tmp_path: Path, values: np.ndarray) -> None:
    content = chunk(b"data", packed(values, 16, 2, "little")) + chunk(b"fmt ", fmt())
    source = tmp_path / "x"
    source.write_bytes(form(b"RIFF", b"WAVE", content))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("block", [0, 1, 3, 65535])
def test_a_block_size_that_cannot_be(tmp_path: Path, values: np.ndarray, block: int) -> None:
    format = bytearray(fmt())
    format[12:14] = struct.pack("<H", block)
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"), bytes(format)))
    assert np.array_equal(read(source)[0], expected(values, 16))


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize("size", ["true", 0, 0xFFFFFFFFFFFFFFFF, 1 << 40])
def test_sizes_of_64_bits(tmp_path: Path, values: np.ndarray, kind: bytes, size: object) -> None:
    data = packed(values, 24, 3, "little")
    told = len(data) if size == "true" else size
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, told, 0, 0))
    content = ds64 + chunk(b"fmt ", fmt(bits=24)) + chunk(b"data", data, size=0xFFFFFFFF)
    source = tmp_path / "x"
    tail = chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0") if size == "true" else b""
    source.write_bytes(form(kind, b"WAVE", content + tail, size=0xFFFFFFFF))
    assert np.array_equal(read(source)[0], expected(values, 24))


def guid(name: bytes) -> bytes:
    return name + bytes.fromhex("f3acd3118cd100c04f8edb8a")


@pytest.mark.parametrize("total", ["true", 0, (1 << 63) - 1])
@pytest.mark.parametrize("size", ["true", 0, 24, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("pad", [True, False])
def test_wave64(tmp_path: Path, values: np.ndarray, size: object, total: object, pad: bool) -> None:
    data = packed(values, 16, 2, "little")
    head = bytes.fromhex("726966662e91cf11a5d628db04c10000")

    def part(name: bytes, content: bytes, size: object = "true") -> bytes:
        told = 24 + len(content) if size == "true" else size
        return guid(name) + struct.pack("<Q", told) + content + bytes(-len(content) % 8 * pad)

    body = part(b"fmt ", fmt()) + part(b"junk", b"thirteen here") + part(b"data", data, size)
    told = 40 + len(body) if total == "true" else total
    source = tmp_path / "x"
    source.write_bytes(head + struct.pack("<Q", told) + guid(b"wave") + body)
    assert np.array_equal(read(source)[0][:FRAMES], expected(values, 16))


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


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_frame_that_the_end_cuts_is_left_out(
    tmp_path: Path, values: np.ndarray, cut: int
) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"))[:-cut])
    assert np.array_equal(read(source)[0], expected(values[:-1], 16))


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


def test_a_file_beyond_4_gib_whose_size_overflowed(tmp_path: Path) -> None:
    values = noise(1000)
    data = packed(values, 16, 2, "little")
    length = (1 << 32) + 4 * FRAMES
    source = tmp_path / "x"
    with open(source, "wb") as file:
        file.write(wav(b"", size=length % (1 << 32), total=(length + 36) % (1 << 32)) + data)
        file.truncate(44 + length)  # a hole: no bytes on the disk

    with open_source(source, "x") as opened:
        assert opened.seconds == length / 4 / RATE
        assert np.array_equal(next(opened.chunks()).samples[:1000], expected(values, 16))


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


@pytest.mark.parametrize("front", [b"ID3\4\0\0\0\0\0\5title", b"ID3\4\0\0\0\0\0\0"])
def test_behind_a_tag(tmp_path: Path, values: np.ndarray, front: bytes) -> None:
    source = tmp_path / "x"
    source.write_bytes(front + wav(packed(values, 16, 2, "little")))
    assert np.array_equal(read(source)[0], expected(values, 16))


def test_a_file_that_ends_early_is_told(tmp_path: Path, values: np.ndarray) -> None:
    data = packed(values, 16, 2, "little")
    source = tmp_path / "x"
    for size, warnings in (
        (len(data), []), (0xFFFFFFFF, []), (len(data) + 100, []),
        (2 * len(data), ["The file ends early: it holds 10.0 of 20.0 s"]),
    ):  # fmt: skip
        source.write_bytes(wav(data, size=size))
        with open_source(source, "x") as opened:
            assert sum(len(chunk.samples) for chunk in opened.chunks()) == FRAMES
            assert opened.warnings == warnings
