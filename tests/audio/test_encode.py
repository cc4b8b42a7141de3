"""Tracks in all formats: the same bytes each time, whole or not at all, and a set never clips."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.writing.encode import CEILINGS, FULL, WRITERS, encode, joint_gain
from server.audio.writing.whole_file import WholeFile
from server.errors import Cancelled
from server.work.steps import finish

from .making import RATE, snr, song, write_mix

FORMATS = sorted(WRITERS)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_stem_gives_the_same_bytes(tmp_path: Path, format: str) -> None:
    source = write_mix(tmp_path / "s.f32", song(2))
    for name in ("a", "b"):
        finish(encode(source, tmp_path / name, "PCM_16", format=format))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def loud_stems(seconds: float = 4) -> list[np.ndarray]:
    """Two stems of a mix at full scale, of which the first is half as loud again."""
    mix = song(seconds)
    vocals = 1.5 / np.abs(mix).max() * mix
    return [vocals, -vocals / 3]


@pytest.mark.parametrize(("format", "wav_format", "error"), [
    ("WAV", "PCM_16", 2**-15), ("WAV", "PCM_24", 2**-23), ("WAV", "FLOAT", 1e-6),
    ("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23),
])
def test_stems_of_one_gain_add_up_and_none_clips(
    tmp_path: Path, format: str, wav_format: str, error: float
) -> None:
    stems, tracks = loud_stems(), []
    gain = joint_gain(max(float(np.abs(stem).max()) for stem in stems), format)
    assert gain == pytest.approx(FULL / 1.5)
    for stem in stems:
        source = write_mix(tmp_path / "s.f32", stem)
        finish(encode(source, tmp_path / "t", wav_format, gain, format))
        track, _ = soundfile.read(tmp_path / "t", dtype="float64")
        assert np.abs(track - gain * stem).max() <= error / 2 + 1e-7, "clipped"
        tracks.append(track)
    assert np.abs(sum(tracks) - gain * sum(stems)).max() <= error + 1e-7


def test_mp3s_of_one_gain_add_up_as_well_as_each_is(tmp_path: Path) -> None:
    stems, tracks = loud_stems(), []
    gain = joint_gain(1.5, "MP3")
    for stem in stems:
        finish(
            encode(write_mix(tmp_path / "s.f32", stem), tmp_path / "t", "PCM_16", gain, "MP3"))
        tracks.append(soundfile.read(tmp_path / "t")[0])
        assert np.abs(tracks[-1]).max() < 1
    assert snr(gain * sum(stems), sum(tracks)) > 12


@pytest.mark.parametrize("format", FORMATS)
def test_the_gain_is_one_where_nothing_clips(format: str) -> None:
    ceiling = CEILINGS[format]
    assert joint_gain(0.0, format) == joint_gain(ceiling, format) == 1.0
    assert joint_gain(2.0, format) == pytest.approx(ceiling / 2)
    assert joint_gain(1.0, format) <= FULL, "16 bits have no 1.0"


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_scale_square(tmp_path: Path, format: str) -> None:
    """The hardest to keep: MP3 cuts its overtones, and it rises above what it was."""
    square = np.where(np.arange(2 * RATE)[:, None] // 50 % 2, 1, -1) * np.ones((1, 2))
    source = write_mix(tmp_path / "s.f32", square.astype(np.float32))
    gain = joint_gain(1.0, format)
    finish(encode(source, tmp_path / "t", "PCM_16", gain, format))
    back, _ = soundfile.read(tmp_path / "t")
    assert back.shape == square.shape
    assert np.abs(back).max() <= 1.0
    assert np.vdot(square, back) / square.size == pytest.approx(gain, rel=0.01)


@pytest.mark.parametrize("format", FORMATS)
def test_an_encoder_that_dies_leaves_no_track(tmp_path: Path, format: str) -> None:
    write_mix(tmp_path / "s.f32", song(5))
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from server.audio.writing.encode import encode\n"
        "from server.work.steps import finish\n"
        "def report(done):\n    if done > 0.5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder = Path(sys.argv[1])\n"
        "finish(encode(folder / 's.f32', folder / 'out', 'PCM_16', 1.0, sys.argv[2]), report)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), format])
    assert done.returncode == -signal.SIGKILL
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2, "half of it had been written"
    assert left[0].startswith("out.") and left[0].endswith(".part")


@pytest.mark.parametrize("format", FORMATS)
def test_cancelling_leaves_nothing(
    tmp_path: Path, format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_mix(tmp_path / "s.f32", song(2))

    def cancel(done: float) -> None:
        if done > 0.5:
            raise Cancelled("The job was cancelled")

    with pytest.raises(Cancelled):
        finish(encode(source, tmp_path / "out" / "t", "PCM_16", format=format), cancel)
    assert list((tmp_path / "out").iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("room", [0, 60_000])
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, room: int
) -> None:
    append, written = WholeFile.append, [0]

    def full(self: WholeFile, data: bytes) -> None:
        written[0] += len(data)
        if written[0] > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, data)

    monkeypatch.setattr(WholeFile, "append", full)
    source = write_mix(tmp_path / "s.f32", song(5))
    with pytest.raises(OSError, match="No space left"):
        finish(encode(source, tmp_path / "out" / "t", "PCM_16", format=format))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("frames", [2, 4])
@pytest.mark.parametrize("format", FORMATS)
def test_a_wrong_number_of_frames_leaves_nothing(
    tmp_path: Path, format: str, frames: int
) -> None:
    with (
        pytest.raises(ValueError, match=f"t: {3 - frames} frames missing"),
        WRITERS[format](tmp_path / "t", 3, "PCM_16") as writer,
    ):
        writer.write(np.zeros((frames, 2), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_samples_that_the_format_does_not_have(tmp_path: Path, format: str) -> None:
    source = write_mix(tmp_path / "s.f32", song(1))
    with pytest.raises((KeyError, ValueError)):
        finish(encode(source, tmp_path / "t", "FLOAT" if format == "FLAC" else "PCM_8",
                      format=format))
    assert [path.name for path in tmp_path.iterdir()] == ["s.f32"]
