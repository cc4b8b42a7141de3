"""FLAC and MP3 tracks: they decode to the stem, to its very length, and a set never clips."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from server.audio.decode import decode, measure
from server.audio.encode import CEILINGS, encode, joint_gain
from server.errors import AudioTooLong
from server.starter.songs import synthesise

from .making import RATE, read_mix, song, write_mix, write_sound


def ignore(done: float) -> None:
    assert 0 <= done <= 1


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as media:
        return np.concatenate([frame.to_ndarray() for frame in media.decode(audio=0)], 1).T


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


@pytest.mark.parametrize("frames", [1, 100, 1151, 1152, 44100, 5 * 44100 + 7])
def test_an_mp3_has_the_stems_own_length_and_place(tmp_path: Path, frames: int) -> None:
    stem = song(6)[:frames]
    encode(write_mix(tmp_path / "s.f32", stem), tmp_path / "s.mp3", "PCM_16", format="MP3")
    back, _ = soundfile.read(tmp_path / "s.mp3", dtype="float32")
    for found in (back, decoded(tmp_path / "s.mp3")):
        assert found.shape == stem.shape
        if frames >= 44100:
            assert snr(stem, found) > 15
    if frames > 44100:
        with av.open(str(tmp_path / "s.mp3")) as media:
            assert media.bit_rate == pytest.approx(320_000, rel=0.02)


@pytest.mark.parametrize(("wav_format", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_a_flac_is_exact(tmp_path: Path, wav_format: str, bits: int) -> None:
    stem = song(3)
    source = write_mix(tmp_path / "s.f32", stem)
    encode(source, tmp_path / "s.flac", wav_format, 0.5, format="FLAC")
    info = soundfile.info(tmp_path / "s.flac")
    assert (info.frames, info.samplerate, info.subtype) == (len(stem), RATE, wav_format)
    back, _ = soundfile.read(tmp_path / "s.flac", dtype="float64")
    assert np.abs(back - 0.5 * stem).max() <= 2.0**-bits + 1e-9


@pytest.mark.parametrize("format", ["FLAC", "MP3", "WAV"])
def test_the_same_stem_gives_the_same_bytes(tmp_path: Path, format: str) -> None:
    source = write_mix(tmp_path / "s.f32", song(2))
    for name in ("a", "b"):
        encode(source, tmp_path / name, "PCM_16", format=format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("format", ["FLAC", "MP3", "WAV"])
def test_a_set_that_is_too_loud_is_scaled_as_one(tmp_path: Path, format: str) -> None:
    mix = np.sign(song(4)) * 0.99  # as loud as can be
    stems = [1.7 * mix, -0.7 * mix]
    gain = joint_gain(max(np.abs(stem).max() for stem in stems), format)
    parts = []
    for index, stem in enumerate(stems):
        source = write_mix(tmp_path / f"{index}.f32", stem.astype(np.float32))
        encode(source, tmp_path / str(index), "PCM_16", gain, format=format)
        parts.append(decoded(tmp_path / str(index)) if format == "MP3"
                     else soundfile.read(tmp_path / str(index))[0])
    if format != "MP3":  # whose errors are its own
        assert np.abs(sum(parts) - gain * mix).max() <= 2.0**-15
    else:
        assert snr(gain * mix, sum(parts)) > 8


def test_a_song_at_full_scale_does_not_clip_as_mp3(tmp_path: Path) -> None:
    mix = sum(synthesise(2_000_100, 8.0).values()).T
    mix /= np.abs(mix).max()
    source = write_mix(tmp_path / "s.f32", mix)
    peaks = []
    for gain in (1.0, joint_gain(1.0, "MP3")):
        encode(source, tmp_path / "s.mp3", "PCM_16", gain, format="MP3")
        peaks.append(np.abs(decoded(tmp_path / "s.mp3")).max())
    assert peaks[1] <= 1.0 < peaks[0], "what is decoded is a little higher"


def test_the_gain_is_one_where_nothing_clips() -> None:
    for format, ceiling in CEILINGS.items():
        assert joint_gain(0.0, format) == joint_gain(ceiling, format) == 1.0
        assert joint_gain(2.0, format) == pytest.approx(ceiling / 2)


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_an_encoder_that_dies_leaves_no_track(tmp_path: Path, format: str) -> None:
    write_mix(tmp_path / "s.f32", song(5))
    script = (
        "import os, signal, sys; from pathlib import Path; from server.audio.encode import encode\n"
        "f = Path(sys.argv[1])\n"
        "def report(done):\n    if done > 0.5: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"encode(f / 's.f32', f / 'out', 'PCM_16', 1.0, report, '{format}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rate", "kind"), [(44100, "WAV"), (8000, "FLAC"), (48000, "MP3")])
def test_what_is_measured_is_what_is_decoded(tmp_path: Path, rate: int, kind: str) -> None:
    write_sound(tmp_path / "in", song(3), rate=rate, format=kind,
                subtype="MPEG_LAYER_III" if kind == "MP3" else "PCM_16")
    frames = measure(tmp_path / "in", 60, ignore)
    assert decode(tmp_path / "in", tmp_path / "mix.f32", 60, ignore).frames == frames
    assert len(read_mix(tmp_path / "mix.f32")) == frames
    with pytest.raises(AudioTooLong):
        measure(tmp_path / "in", 1, ignore)
