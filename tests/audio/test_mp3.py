"""MP3 tracks: the stem's very length, place and level, to any decoder; how far they overshoot."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from server.audio.writing.encode import encode, joint_gain
from server.starter.songs import synthesise
from server.work.steps import finish

from .making import RATE, snr, song, write_mix


def heard_by_ffmpeg(path: Path) -> np.ndarray:
    with av.open(str(path), format="mp3") as media:  # it guesses wrongly from very few bytes
        return np.concatenate([frame.to_ndarray() for frame in media.decode(audio=0)], 1).T


@pytest.fixture(scope="module")
def mix() -> np.ndarray:
    """A song of the project, at full scale."""
    samples = sum(synthesise(2_000_100, 8.0).values()).T
    return np.asarray(samples / np.abs(samples).max(), np.float32)


def coded(folder: Path, stem: np.ndarray, gain: float = 1.0) -> Path:
    finish(encode(write_mix(folder / "s.f32", stem), folder / "s.mp3", "PCM_16", gain, "MP3"))
    return folder / "s.mp3"


@pytest.mark.parametrize("frames", [1, 100, 575, 576, 1151, 1152, 1153, 44100, 5 * 44100 + 7])
def test_a_track_has_the_stems_own_length(tmp_path: Path, frames: int) -> None:
    path = coded(tmp_path, song(6)[:frames])
    assert soundfile.read(path)[0].shape == heard_by_ffmpeg(path).shape == (frames, 2)
    assert soundfile.info(path).frames == frames, "known without decoding it"


def test_a_long_track_has_it_too(tmp_path: Path) -> None:
    """The number of MP3 frames is told from the bytes, whose share must not drift."""
    stem = np.zeros((6 * 60 * RATE + 11, 2), np.float32)
    assert soundfile.info(coded(tmp_path, stem)).frames == len(stem)


def test_a_track_is_the_stem_at_its_place_and_level(tmp_path: Path, mix: np.ndarray) -> None:
    path = coded(tmp_path, mix, 0.5)
    for back in (soundfile.read(path, dtype="float32")[0], heard_by_ffmpeg(path)):
        assert snr(0.5 * mix, back) > 20
        assert np.vdot(mix, back) / np.vdot(mix, mix) == pytest.approx(0.5, rel=0.01)
    with av.open(str(path)) as media:
        assert media.bit_rate == pytest.approx(320_000, rel=0.01)
        assert media.streams.audio[0].codec_context.name in ("mp3", "mp3float")


@pytest.mark.parametrize("drive", [2, 4])
def test_loud_songs_do_not_clip(tmp_path: Path, mix: np.ndarray, drive: float) -> None:
    """Limited as records are, by up to 12 dB: softly, since that is how it is done."""
    limited = np.tanh(drive * mix) / np.tanh(drive)
    limited /= np.abs(limited).max()
    as_it_was = np.abs(heard_by_ffmpeg(coded(tmp_path, limited))).max()
    assert as_it_was > 1, "what is decoded is a little higher"
    scaled = coded(tmp_path, limited, joint_gain(1.0, "MP3"))
    assert np.abs(heard_by_ffmpeg(scaled)).max() <= 1
