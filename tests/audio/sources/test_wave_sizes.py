"""Chunks and sizes of WAVs as programs write them: all that is sound comes out, and no more."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.sources.opening import open_source

from .reading import FRAMES, RATE, chunk, expected, fmt, form, noise, packed, read, wav
from .reading import values as values

UNFILLED = [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000]


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


@pytest.mark.parametrize("frames", [1000, 1001])
@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff"])
@pytest.mark.parametrize("pad", [b"\0", b"\xff"])
def test_the_padding_behind_the_last_sample_is_no_sound(
    tmp_path: Path, frames: int, kind: str, pad: bytes
) -> None:
    """Of samples of one byte, which half of all recordings have in an odd number."""
    sound = np.arange(frames) % 251
    data = sound.astype(np.uint8).tobytes()
    tail = pad * (-frames % (8 if kind == "w64" else 2))
    source = tmp_path / "x"
    if kind == "w64":
        head = bytes.fromhex("726966662e91cf11a5d628db04c10000")
        parts = [(b"fmt ", fmt(channels=1, bits=8)), (b"data", data)]
        body = guid(b"wave") + b"".join(
            guid(name) + struct.pack("<Q", 24 + len(content)) + content
            + (bytes(-len(content) % 8) if name == b"fmt " else tail) for name, content in parts
        )  # fmt: skip
        source.write_bytes(head + struct.pack("<Q", 24 + len(body)) + body)
    elif kind == "aiff":
        comm = struct.pack(">hIh", 1, frames, 8) + bytes.fromhex("400eac44000000000000")
        comm += b"raw " + b"\0\0"
        content = chunk(b"COMM", comm, "big") + b"SSND" + struct.pack(">I", 8 + frames)
        content += bytes(8) + data + tail
        source.write_bytes(form(b"FORM", b"AIFC", content, "big"))
    elif kind == "rf64":
        ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, frames, 0, 0))
        content = ds64 + chunk(b"fmt ", fmt(channels=1, bits=8)) + b"data" + b"\xff" * 4
        source.write_bytes(form(b"RF64", b"WAVE", content + data + tail, size=0xFFFFFFFF))
    else:
        content = chunk(b"fmt ", fmt(channels=1, bits=8)) + b"data" + struct.pack("<I", frames)
        source.write_bytes(form(b"RIFF", b"WAVE", content + data + tail))
    assert np.array_equal(read(source)[0][:, 0], ((sound - 128) / 128).astype(np.float32))


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


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_frame_that_the_end_cuts_is_left_out(
    tmp_path: Path, values: np.ndarray, cut: int
) -> None:
    source = tmp_path / "x"
    source.write_bytes(wav(packed(values, 16, 2, "little"))[:-cut])
    assert np.array_equal(read(source)[0], expected(values[:-1], 16))


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
