"""FLAC tracks: exact to the last bit that they have."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.writing.encode import encode
from server.audio.writing.track_writer import SAMPLES
from server.work.steps import finish

from .making import RATE, song, write_mix


@pytest.mark.parametrize("wav_format", ["PCM_16", "PCM_16_DITHERED", "PCM_24"])
@pytest.mark.parametrize("frames", [1, 4096, 3 * RATE + 5])
def test_a_track_is_the_stem_rounded(tmp_path: Path, wav_format: str, frames: int) -> None:
    stem = song(4)[:frames]
    finish(encode(write_mix(tmp_path / "s.f32", stem), tmp_path / "t", wav_format, 0.5, "FLAC"))
    info, bits = soundfile.info(tmp_path / "t"), SAMPLES[wav_format].bits
    assert (info.frames, info.samplerate, info.subtype) == (frames, RATE, f"PCM_{bits}")
    back, _ = soundfile.read(tmp_path / "t", dtype="float64")
    half_steps = 3 if "DITHERED" in wav_format else 1
    assert np.abs(back - 0.5 * stem).max() <= half_steps * 2.0**-bits + 1e-9


def test_sixteen_bits_that_were_decoded_come_back_as_they_were(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (5000, 2), np.int16)
    source = write_mix(tmp_path / "s.f32", samples.astype(np.float32) / 2**15)
    finish(encode(source, tmp_path / "t", "PCM_16", format="FLAC"))
    np.testing.assert_array_equal(soundfile.read(tmp_path / "t", dtype="int16")[0], samples)


def test_silence_is_small(tmp_path: Path) -> None:
    source = write_mix(tmp_path / "s.f32", np.zeros((60 * RATE, 2), np.float32))
    finish(encode(source, tmp_path / "t", "PCM_16", format="FLAC"))
    assert (tmp_path / "t").stat().st_size < 100_000
