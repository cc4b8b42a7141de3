"""MP3 behind, between and in front of anything: exactly the samples of the clean file."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import measure, probe
from server.audio.sources.opening import open_source
from server.audio.sources.readers import ffmpeg
from server.audio.sources.sniffing import Container
from server.errors import AudioError
from server.work.steps import finish

from ..making import RATE, song, write_av, write_sound
from .reading import chunk, form, read

SECONDS = 3.0


def mp3(folder: Path, samples: np.ndarray, rate: int = RATE, mode: str = "CONSTANT") -> bytes:
    """As LAME writes it, with an index, whose tag tells its delay and padding."""
    path = write_sound(folder / "made", samples, rate, format="MP3", bitrate_mode=mode)
    return path.read_bytes()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    data = mp3(tmp_path_factory.mktemp("clean"), song(SECONDS))
    assert b"Xing" in data[:100] and b"LAME" in data[:200]
    return data


@pytest.fixture(scope="module")
def wanted(clean: bytes, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    samples = sound(tmp_path_factory.mktemp("wanted"), clean)
    assert len(samples) == SECONDS * RATE
    return samples


def sound(folder: Path, data: bytes) -> np.ndarray:
    path = folder / "input"
    path.write_bytes(data)
    return read(path)[0]


def id3(content: bytes, size: int | None = None, version: int = 4, footer: bool = False) -> bytes:
    """An ID3v2 tag; `size` in place of the true one."""
    size = len(content) if size is None else size
    told = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    head = bytes([version, 0, 16 * footer]) + told
    return b"ID3" + head + content + (b"3DI" + head) * footer


def ape(items: bytes, header: bool = True) -> bytes:
    """An APEv2 tag."""
    head = struct.pack("<III", 2000, len(items) + 32, 1)
    parts = [b"APETAGEX" + head + struct.pack("<I", flags) + bytes(8)
             for flags in (0xA0000000, 0x80000000)]  # fmt: skip
    return parts[0] * header + items + parts[1]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_a_clean_file_is_as_ffmpeg_reads_it(
    tmp_path: Path, rate: int, channels: int, mode: str
) -> None:
    samples = song(2)[:, :channels]
    path = write_sound(tmp_path / "x", samples, rate, format="MP3", bitrate_mode=mode)
    with ffmpeg.opened(path, Container("mp3", "mp3")) as source:
        chunks = list(source.chunks())
        theirs = source.seconds
    assert np.array_equal(read(path)[0], np.concatenate([c.samples for c in chunks]))
    assert len(read(path)[0]) == len(samples)
    assert probe(path, "x").seconds == pytest.approx(theirs, abs=0.06)


@pytest.mark.parametrize("codec", ["mp2", "libmp3lame"])
def test_files_of_other_encoders_are_as_ffmpeg_reads_them(tmp_path: Path, codec: str) -> None:
    path = write_av(tmp_path / "x", song(2), RATE, codec, "mp2" if codec == "mp2" else "mp3")
    with ffmpeg.opened(path, Container("mp3", "mp3")) as source:
        theirs = np.concatenate([chunk.samples for chunk in source.chunks()])
    assert np.abs(read(path)[0] - theirs).max() < 1e-4  # theirs of layer 2 are 16 bits


TEXT = b"TIT2\0\0\0\4\0\0\0abc"
PICTURE = b"APIC" + np.random.default_rng(1).bytes(200_000)


@pytest.mark.parametrize("front", [
    id3(TEXT), id3(PICTURE), id3(TEXT, footer=True), id3(TEXT) + id3(PICTURE), id3(TEXT) * 9,
    id3(TEXT) + bytes(5000), id3(TEXT) + b"\xff" * 5000, id3(PICTURE) + bytes(3_000_000),
    id3(TEXT, size=3), id3(PICTURE, size=1000), id3(TEXT, size=0), id3(TEXT, size=1 << 27),
    id3(TEXT, len(TEXT) + 1), id3(TEXT, len(TEXT) + 417), id3(TEXT, len(TEXT) + 1000),
    id3(PICTURE, len(PICTURE) + 20_000), id3(bytes(50), size=40_000), id3(b"", size=47_000),
    b"\0", bytes(417), bytes(100_000), bytes(5_000_000), b"\xff" * 300_000,
    np.random.default_rng(2).bytes(70_000), np.random.default_rng(3).bytes(4_000_000),
    ape(b"items"), ape(bytes(100_000)) + id3(TEXT), id3(TEXT) + ape(b"items"), ape(b"x", False),
    b"\xff", b"\xff\xff", b"\xff\xff\xff", b"RIFF\0\0\0\0RMP3data\0\0\0\0",
    b"TAG" + bytes(125), b"\xff\xfb\x90", b"\xff\xfb\x90\x64" * 9,
    b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
])  # fmt: skip
def test_behind_anything(tmp_path: Path, clean: bytes, wanted: np.ndarray, front: bytes) -> None:
    assert np.array_equal(sound(tmp_path, front + clean), wanted)
    path = tmp_path / "input"
    assert probe(path, "x.mp3").format == "mp3"
    assert finish(measure(path, 60), lambda done: None) == len(wanted)


@pytest.mark.parametrize("tail", [
    b"TAG" + b"x" * 125, ape(b"items"), ape(b"items", False) + b"TAG" + bytes(125),
    b"LYRICSBEGINsome text000020LYRICS200TAG" + bytes(125), id3(TEXT, footer=True),
    bytes(10_000), np.random.default_rng(4).bytes(100_000), b"\xff", b"\xff\xfb", b"\xff\xfb\x90",
])  # fmt: skip
def test_in_front_of_anything(
    tmp_path: Path, clean: bytes, wanted: np.ndarray, tail: bytes
) -> None:
    assert np.array_equal(sound(tmp_path, id3(TEXT, size=99) + clean + tail), wanted)


@pytest.mark.parametrize("between", [
    b"", b"TAG" + bytes(125), id3(PICTURE), b"TAG" + bytes(125) + id3(PICTURE, len(PICTURE) + 3000),
    ape(b"items") + id3(TEXT), bytes(3000), np.random.default_rng(5).bytes(9000),
])  # fmt: skip
@pytest.mark.parametrize(("rate", "channels"), [(RATE, 2), (RATE, 1), (48000, 2), (22050, 1)])
def test_joined_files_keep_both_whole(
    tmp_path: Path, clean: bytes, wanted: np.ndarray, between: bytes, rate: int, channels: int
) -> None:
    original = song(2, seed=1)[:, :channels]
    second = mp3(tmp_path, original, rate)
    alone = sound(tmp_path, second)
    assert len(alone) == len(original)
    path = tmp_path / "input"
    path.write_bytes(id3(TEXT) + clean + between + second + b"TAG" + bytes(125))
    with open_source(path, "x") as source:
        chunks = list(source.chunks())
        assert source.warnings == []
    first = [c.samples for c in chunks][: -(-len(wanted) // (1 << 14))]
    rest = [c.samples for c in chunks][len(first) :]
    assert np.array_equal(np.concatenate(first), wanted)
    assert np.array_equal(np.concatenate(rest), alone)
    assert {c.rate for c in chunks[len(first) :]} == {rate}


def test_a_file_cut_within_a_frame_and_another_keep_what_they_hold(
    tmp_path: Path, clean: bytes, wanted: np.ndarray
) -> None:
    samples = sound(tmp_path, clean[: len(clean) // 2 + 100] + id3(TEXT) + clean)
    assert np.array_equal(samples[-len(wanted) :], wanted)
    first = len(samples) - len(wanted)
    assert first == pytest.approx(len(wanted) // 2, abs=2500)
    assert np.array_equal(samples[: first - 2304], wanted[: first - 2304])


@pytest.mark.parametrize("tag", [0x55, 0x50])
@pytest.mark.parametrize("size", ["true", 0, 0xFFFFFFFF])
@pytest.mark.parametrize("front", [b"", id3(TEXT, size=900), bytes(2000)])
def test_mp3_in_a_wav(
    tmp_path: Path, clean: bytes, wanted: np.ndarray, tag: int, size: object, front: bytes
) -> None:
    fmt = struct.pack("<HHIIHHHHIHHH", tag, 2, RATE, 16000, 1, 0, 12, 1, 2, 417, 1, 1393)
    data = front + clean
    content = chunk(b"fmt ", fmt) + chunk(b"fact", struct.pack("<I", 0))
    content += chunk(b"data", data, size=len(data) if size == "true" else size)
    samples = sound(tmp_path, form(b"RIFF", b"WAVE", content))
    assert np.array_equal(samples, wanted)
    assert probe(tmp_path / "input", "x").format == "wav"


def test_without_an_index_nothing_is_left_out(tmp_path: Path, clean: bytes) -> None:
    frames = clean[clean.index(clean[:2], 100) :]  # the first frame was the index
    samples = sound(tmp_path, b"junk" * 1000 + frames)
    assert len(samples) % 1152 == 0
    assert len(samples) >= SECONDS * RATE + 576 + 529


def test_a_cut_file_is_not_cut_once_more_by_its_tag(
    tmp_path: Path, clean: bytes, wanted: np.ndarray
) -> None:
    half = sound(tmp_path, clean[: len(clean) // 2])
    assert 0.45 < len(half) / len(wanted) < 0.55
    assert np.array_equal(half[:-2304], wanted[: len(half) - 2304])


def test_damage_is_told_and_costs_only_its_own_sound(
    tmp_path: Path, clean: bytes, wanted: np.ndarray
) -> None:
    at = len(clean) // 2
    path = tmp_path / "input"
    path.write_bytes(clean[:at] + bytes(2000) + clean[at + 2000 :])
    with open_source(path, "x") as source:
        samples = np.concatenate([c.samples for c in source.chunks()])
        assert len(source.warnings) == 1
    assert len(samples) == len(wanted)
    assert np.array_equal(samples[:50_000], wanted[:50_000])
    assert np.array_equal(samples[-50_000:], wanted[-50_000:])


@pytest.mark.parametrize("data", [
    b"ID3\4\0\0\0\0\0\0", id3(PICTURE), b"\xff\xfb\x90\x64" + bytes(10), bytes(1_000_000),
])  # fmt: skip
def test_what_holds_no_frames_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "input"
    path.write_bytes(data)
    with pytest.raises(AudioError):
        probe(path, "x.mp3")


def test_a_file_that_ends_early_is_told(tmp_path: Path, clean: bytes) -> None:
    path = tmp_path / "input"
    path.write_bytes(clean[: len(clean) // 2])
    with open_source(path, "x") as source:
        assert list(source.chunks())
        assert len(source.warnings) == 1
        assert source.warnings[0].startswith("The file ends early: it holds 1.5 of 3.0 s")
