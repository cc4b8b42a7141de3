"""WAV files: the bytes by independent readers, rounding, clipping, and appearing whole."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.writing.encode import encode
from server.audio.writing.track_writer import SAMPLES
from server.audio.writing.wav import WavWriter, wav_header
from server.errors import Cancelled
from server.work.steps import finish

from .making import song, write_mix

# The largest error: half a step, and another by the noise.
ERROR = {"PCM_16": 2**-16, "PCM_16_DITHERED": 3 * 2**-16, "PCM_24": 2**-24}


@pytest.mark.parametrize("frames", [0, 1, 50_001])
@pytest.mark.parametrize("wav_format", SAMPLES)
def test_written_files_are_read_by_libsndfile(tmp_path: Path, wav_format: str, frames: int) -> None:
    samples = song(2)[:frames]
    source, target = write_mix(tmp_path / "mix.f32", samples), tmp_path / "deep" / "x.wav"
    finish(encode(source, target, wav_format))
    info = soundfile.info(target)
    assert (info.format, info.subtype) == ("WAV", wav_format.removesuffix("_DITHERED"))
    assert (info.samplerate, info.channels, info.frames) == (44100, 2, frames)
    back, _ = soundfile.read(target, dtype="float32", always_2d=True)
    if frames:
        assert np.abs(back - samples).max() <= ERROR.get(wav_format, 0)


def test_written_files_are_read_by_the_standard_library(tmp_path: Path) -> None:
    target = tmp_path / "x.wav"
    finish(encode(write_mix(tmp_path / "mix.f32", song(0.1)), target, "PCM_16"))
    with wave.open(str(target)) as file:
        assert file.getparams()[:4] == (2, 2, 44100, 4410)


@pytest.mark.parametrize(("wav_format", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_integers_are_rounded_and_clipped(tmp_path: Path, wav_format: str, bits: int) -> None:
    top = 1 << (bits - 1)
    values = np.array([0, 1, 1.4, 1.5, 2.5, -1.4, -1.6, top - 1, top, 5 * top, -top, -9 * top])
    expected = [0, 1, 1, 2, 2, -1, -2, top - 1, top - 1, top - 1, -top, -top]
    block = np.repeat(values[:, None] / top, 2, axis=1).astype(np.float32)
    with WavWriter(tmp_path / "x.wav", len(block), wav_format) as writer:
        writer.write(block)
    data = (tmp_path / "x.wav").read_bytes()[44:]
    width = bits // 8
    frames = [data[at : at + width] for at in range(0, len(data), 2 * width)]
    assert [int.from_bytes(f, "little", signed=True) for f in frames] == expected


def test_16_bit_samples_survive_unchanged(tmp_path: Path) -> None:
    integers = np.arange(-32768, 32768, dtype=np.int16).repeat(2).reshape(-1, 2)
    source = write_mix(tmp_path / "mix.f32", integers / np.float32(32768))
    finish(encode(source, tmp_path / "x.wav", "PCM_16"))
    assert np.array_equal(soundfile.read(tmp_path / "x.wav", dtype="int16")[0], integers)


@pytest.mark.parametrize("wav_format", SAMPLES)
def test_gain(tmp_path: Path, wav_format: str) -> None:
    samples = song(0.3)
    finish(
        encode(write_mix(tmp_path / "mix.f32", samples), tmp_path / "x.wav", wav_format, gain=0.3))
    back, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert np.abs(back - 0.3 * samples).max() <= ERROR.get(wav_format, 0) + 1e-7


@pytest.mark.parametrize("wav_format", SAMPLES)
def test_files_beyond_4_gib_say_their_true_length(tmp_path: Path, wav_format: str) -> None:
    frames = (1 << 32) // 4 + 12345
    header = wav_header(frames, SAMPLES[wav_format])
    size = frames * 2 * SAMPLES[wav_format].bits // 8
    path = tmp_path / "big.wav"
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)  # sparse: takes no room
    assert soundfile.info(path).frames == frames
    assert struct.unpack_from("<Q", header, 20)[0] == path.stat().st_size - 8


def test_the_same_song_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_mix(tmp_path / "mix.f32", song(0.5))
    for wav_format in SAMPLES:
        finish(encode(source, tmp_path / "a.wav", wav_format))
        first = (tmp_path / "a.wav").read_bytes()
        finish(encode(source, tmp_path / "a.wav", wav_format))
        assert (tmp_path / "a.wav").read_bytes() == first
        assert first[:4] == b"RIFF"
        assert struct.unpack_from("<I", first, 4)[0] == len(first) - 8


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    source = write_mix(tmp_path / "mix.f32", song(2))
    target = tmp_path / "out" / "x.wav"

    def cancel(done: float) -> None:
        assert not target.exists()
        if done > 0.5:
            raise Cancelled("The job was cancelled")

    with pytest.raises(Cancelled):
        finish(encode(source, target, "PCM_16"), cancel)
    assert list(target.parent.iterdir()) == []


def test_a_wrong_number_of_frames_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"x\.wav: 1 frames missing"),
        WavWriter(tmp_path / "x.wav", 3, "PCM_16") as writer,
    ):
        writer.write(np.zeros((2, 2), np.float32))
    assert list(tmp_path.iterdir()) == []
