"""Files from strangers: a clear sentence or a valid mix, and never more memory than allowed."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, probe
from server.errors import AudioError, AudioTooLong, UnsupportedFormat
from server.work.steps import finish

from .making import RATE, read_mix, tone, write_av, write_sound


def wav(data: bytes, channels: int = 2, rate: int = RATE, bits: int = 16, tag: int = 1,
        size: int | None = None) -> bytes:  # fmt: skip
    """A WAV whose header says what it is told to."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * frame & 0xFFFFFFFF,
                      frame & 0xFFFF, bits)  # fmt: skip
    size = len(data) if size is None else size
    return (b"RIFF" + struct.pack("<I", size + 36 & 0xFFFFFFFF) + b"WAVEfmt \x10\0\0\0" + fmt
            + b"data" + struct.pack("<I", size) + data)  # fmt: skip


def decoded(folder: Path, data: bytes, max_seconds: float = 60.0) -> np.ndarray:
    (folder / "input").write_bytes(data)
    try:
        finish(decode(folder / "input", folder / "mix.f32", max_seconds, "s.wav"))
    finally:
        assert not (folder / "mix.f32.part").exists()
    mix = read_mix(folder / "mix.f32")
    assert np.isfinite(mix).all()
    return mix


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        (b"", "song.wav", "The file is empty"),
        (b"only text " * 500, "song.WAV", "Unsupported audio format: .wav"),
        (b"only text", "song.aac", "Unsupported audio format: .aac"),
        (b"only text", "song", "Unsupported audio format"),
        (b"only text", "../../x.<b>", "Unsupported audio format"),
    ],
)
def test_no_audio_at_all(tmp_path: Path, data: bytes, name: str, sentence: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormat) as error:
        probe(path, name)
    assert error.value.message == sentence
    with pytest.raises(UnsupportedFormat):
        finish(decode(path, tmp_path / "mix.f32", 60, name))
    assert not (tmp_path / "mix.f32").exists()


@pytest.mark.parametrize(
    "data",
    [
        wav(b""),
        wav(b"\1\2\3"),
        wav(bytes(400), rate=0),
        wav(bytes(400), rate=2**31),
        wav(bytes(400), rate=2**32 - 1),
        wav(bytes(14_000), channels=1, rate=1),
        wav(bytes(400), channels=0),
        wav(bytes(40_000), channels=1024),
        wav(bytes(40_000), channels=65535),
        wav(bytes(400), bits=0),
        wav(bytes(400), tag=0x1234),
        b"RIFF\xff\xff\xff\xffWAVE",
        b"RIFF\xff\xff\xff\xffWAVE" + b"garbage " * 1000,
        b"fLaC" + bytes(5000),
        b"OggS" + bytes(5000),
        b"FORM\0\0\0\x10AIFFCOMM",
        b"\0\0\0\x18ftypM4A " + bytes(5000),
        b"\x1a\x45\xdf\xa3" + bytes(5000),
    ],
)  # fmt: skip
def test_broken_files_end_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(AudioError) as error:
        decoded(tmp_path, data)
    assert str(tmp_path) not in error.value.message
    assert len(error.value.message) > 10
    with pytest.raises(AudioError):
        probe(tmp_path / "input", "s.wav")


def test_the_limits_of_channels_and_rate_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"^9 channels are not supported, at most 8 are$"):
        decoded(tmp_path, wav(bytes(1800), channels=9))
    with pytest.raises(AudioError, match=r"^A sample rate of 1 Hz is not supported$"):
        decoded(tmp_path, wav(bytes(1800), rate=1))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 10_000_000])
def test_a_header_that_promises_too_much(tmp_path: Path, size: int) -> None:
    samples = (tone(0.5) * 32767).astype("<i2")
    mix = decoded(tmp_path, wav(samples.tobytes(), size=size))
    assert np.array_equal(mix, samples / np.float32(32768))


def test_one_sample(tmp_path: Path) -> None:
    assert decoded(tmp_path, wav(struct.pack("<hh", 16384, -8192))).tolist() == [[0.5, -0.25]]


def test_silence(tmp_path: Path) -> None:
    mix = decoded(tmp_path, wav(bytes(4 * RATE)))
    assert mix.shape == (RATE, 2)
    assert not mix.any()


def test_full_scale_square_wave(tmp_path: Path) -> None:
    square = np.sign(tone(1, 96000)).astype(np.float32)
    mix = decoded(tmp_path, wav(square.tobytes(), rate=96000, bits=32, tag=3))
    assert 1 < np.abs(mix).max() < 1.5  # band-limited, so it rings, and float keeps it


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_floats_that_are_no_numbers(tmp_path: Path, rate: int) -> None:
    samples = tone(1, rate)
    samples[1000] = (np.nan, np.inf)
    samples[2000] = (-np.inf, 3e38)
    samples[3000:4000] = 1e-42
    mix = decoded(tmp_path, wav(samples.tobytes(), rate=rate, bits=32, tag=3))
    assert np.abs(mix).max() <= 10
    assert len(mix) == RATE
    far = slice(3 * RATE // 4, RATE - 1000)  # they spoil nothing further on
    assert np.abs(mix[far] - tone(1)[far]).max() < 1e-3


def test_doubles_beyond_float(tmp_path: Path) -> None:
    samples = np.array([[1e300, -1e300], [0.5, np.nan]])
    assert decoded(tmp_path, wav(samples.tobytes(), bits=64, tag=3)).tolist() == [
        [0, 0], [0.5, 0]
    ]  # fmt: skip


def test_a_flac_of_silence_is_stopped_at_the_limit(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "bomb", np.zeros((600 * 8000, 1)), 8000, format="FLAC")
    data = source.read_bytes()
    assert len(data) < 60_000
    with pytest.raises(AudioTooLong, match=r"^Audio is longer than 30 seconds$"):
        decoded(tmp_path, data, max_seconds=30)
    assert len(decoded(tmp_path, data, max_seconds=600)) == 600 * RATE


def test_a_film_without_sound(tmp_path: Path) -> None:
    import av  # only this test writes pictures

    with av.open(str(tmp_path / "film"), "w", format="matroska") as file:
        stream = file.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"^The file holds no audio track$"):
        decoded(tmp_path, (tmp_path / "film").read_bytes())


def test_a_codec_that_is_not_on_the_list(tmp_path: Path) -> None:
    data = write_av(tmp_path / "x", tone(0.5), RATE, "ac3", "matroska").read_bytes()
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: A_XYZ in MKV$"):
        decoded(tmp_path, data.replace(b"A_AC3", b"A_XYZ"))


@pytest.mark.parametrize(("data", "kind"), [
    (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "an HTML page"),
    (b"\r\n  <HTML lang=en><head>", "an HTML page"),
    (b"\xef\xbb\xbf<!-- cached --><html>", "an HTML page"),
    ("<!doctype html><p>\u00e4".encode("utf-16"), "an HTML page"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    (b'{"error": "expired"}', "a JSON document"),
    (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.mp3\n", "a playlist (M3U)"),
    (b"%PDF-1.7\n" + bytes(100), "a PDF document"),
    (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100), "a JPEG picture"),
    (b"MThd\0\0\0\x06\0\1\0\1\0\x60MTrk", "a MIDI file (notes, no sound)"),
    (b"OFR \x0c\0\0\0" + bytes(100), "OptimFROG"),
])  # fmt: skip
def test_what_is_no_sound_is_called_what_it_is(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(data)
    for name in ("song.mp3", "song.wav", "song"):
        with pytest.raises(UnsupportedFormat) as error:
            probe(path, name)
        assert error.value.message == f"Unsupported audio format: {kind}"


def test_an_archive_of_songs_is_no_song(tmp_path: Path) -> None:
    song = write_sound(tmp_path / "x", tone(3), format="MP3").read_bytes()
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: a ZIP archive$"):
        decoded(tmp_path, b"PK\x03\x04" + bytes(26) + song)


@pytest.mark.parametrize("position", [0.3, 0.6])
def test_damage_in_the_middle_costs_only_its_own_sound(tmp_path: Path, position: float) -> None:
    data = bytearray(write_sound(tmp_path / "x", tone(8), format="MP3").read_bytes())
    at = int(len(data) * position)
    data[at : at + 2000] = np.random.default_rng(0).bytes(2000)
    mix = decoded(tmp_path, bytes(data))
    assert 0.9 < len(mix) / (8 * RATE) < 1.05


@pytest.mark.parametrize(("bad", "words"), [
    (np.nan, "0.50 s of samples that are no numbers became silence"),
    (-np.inf, "0.50 s of samples that are no numbers became silence"),
    (32767.0, "0.50 s of samples beyond 8 times full scale were limited"),
    (-32768.0, "0.50 s of samples beyond 8 times full scale were limited"),
])  # fmt: skip
def test_samples_that_are_mended_are_told(tmp_path: Path, bad: float, words: str) -> None:
    samples = tone(1.0)
    samples[11025:33075, 1] = bad
    path = write_sound(tmp_path / "in", samples, format="WAV", subtype="FLOAT")
    mix = finish(decode(path, tmp_path / "mix", 60))
    assert mix.heard.warnings == [words]


def test_one_sample_that_is_mended_is_told(tmp_path: Path) -> None:
    samples = tone(1.0)
    samples[:, 0] *= 14  # as hot as it may be
    samples[9, 0] = np.nan
    path = write_sound(tmp_path / "in", samples, format="WAV", subtype="FLOAT")
    mix = finish(decode(path, tmp_path / "mix", 60))
    assert mix.heard.warnings == ["0.01 s of samples that are no numbers became silence"]


@pytest.mark.parametrize("front", [b"", b"ID3\4\0\0\0\0\x10\0" + bytes(2048)])
def test_mp3_of_free_format_is_named(tmp_path: Path, front: bytes) -> None:
    """Its frames do not tell their sizes: 1306 bytes at 400 kbit/s, and now and then one more."""
    random = np.random.default_rng(0)
    frames = (
        b"\xff\xfb" + (b"\2" if number % 7 == 2 else b"\0") + b"\x44"
        + random.bytes(1302 + (number % 7 == 2)) for number in range(40)
    )  # fmt: skip
    (tmp_path / "in").write_bytes(front + b"".join(frames))
    with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: MP3 of free format$"):
        probe(tmp_path / "in", "song.mp3")


def test_noise_is_no_mp3_of_free_format(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for data in [random.bytes(1 << 16) for _ in range(50)] + [b"a text " * 9000, b"\xff" * 9000]:
        (tmp_path / "in").write_bytes(data)
        with pytest.raises(UnsupportedFormat, match=r"^Unsupported audio format: \.mp3$"):
            probe(tmp_path / "in", "song.mp3")
