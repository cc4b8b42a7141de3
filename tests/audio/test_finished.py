"""Windows of finished tracks: the same samples as the whole file has there, of every format."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.audio.finished import open_finished
from server.audio.writing import mp3_layout
from server.audio.writing.encode import encode
from server.work.steps import finish

from .making import song, write_mix
from .test_mp3 import heard_by_ffmpeg

KINDS = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"),
         ("FLAC", "PCM_24"), ("MP3", "PCM_16")]  # fmt: skip
FRAMES = 5 * 44100 + 7
SPANS = [(0, 100), (0, 4608), (1, 1151), (576, 1152), (44_100, 44_100), (44_099, 3),
         (FRAMES - 1, 1), (FRAMES - 2000, 5000), (FRAMES, 10), (FRAMES + 5, 10),
         (7, 0)]  # fmt: skip


def written(folder: Path, format: str, samples: str, sound: np.ndarray) -> Path:
    target = folder / f"t.{format.lower()}"
    finish(encode(write_mix(folder / "s.f32", sound), target, samples, format=format))
    return target


def whole(path: Path) -> np.ndarray:
    if path.suffix == ".mp3":
        return heard_by_ffmpeg(path)
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize(("format", "samples"), KINDS)
def test_a_window_is_what_the_whole_file_has_there(
    tmp_path: Path, format: str, samples: str
) -> None:
    path = written(tmp_path, format, samples, song(6)[:FRAMES])
    expected = whole(path)
    track = open_finished(path)
    assert track.frames == FRAMES == len(expected)
    random = np.random.default_rng(3)
    spans = SPANS + [tuple(random.integers(0, FRAMES, 2)) for _ in range(20)]
    for start, count in spans:
        found = track.read(int(start), int(count))
        assert found.dtype == np.float32
        assert np.array_equal(found, expected[start : start + count]), (start, count)
    track.close()


@pytest.mark.parametrize("frames", [1, 575, 576, 577, 1152, 1153, 3000])
def test_short_mp3s(tmp_path: Path, frames: int) -> None:
    path = written(tmp_path, "MP3", "PCM_16", song(1)[:frames])
    track = open_finished(path)
    assert np.array_equal(track.read(0, frames + 9), heard_by_ffmpeg(path))
    track.close()


@pytest.mark.parametrize(("format", "samples"), KINDS)
def test_an_opened_track_outlives_its_name(tmp_path: Path, format: str, samples: str) -> None:
    path = written(tmp_path, format, samples, song(1))
    expected = whole(path)
    track = open_finished(path)
    path.unlink()
    assert np.array_equal(track.read(100, 20_000), expected[100:20_100])
    track.close()
    with pytest.raises(FileNotFoundError):
        open_finished(path)


@pytest.mark.parametrize(("format", "samples"), KINDS)
def test_a_window_costs_its_own_bytes(tmp_path: Path, format: str, samples: str) -> None:
    """Counted by the kernel: two minutes of noise, of which a fifth of a second is read."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (120 * 44100, 2)).astype(np.float32)
    path = written(tmp_path, format, samples, noise)

    def bytes_read() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("rchar:")).split()[1])

    open_finished(path).close()  # the decoder's own libraries are loaded
    before = bytes_read()
    track = open_finished(path)
    track.read(70 * 44100, 8820)
    track.close()
    assert bytes_read() - before < path.stat().st_size / 20


def test_what_is_cut_short_says_so(tmp_path: Path) -> None:
    for format, samples in KINDS:
        path = written(tmp_path, format, samples, song(3))
        os.truncate(path, path.stat().st_size // 2)
        track = open_finished(path)
        with pytest.raises(EOFError):
            track.read(2 * 44100, 44100)
        track.close()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_other_bytes_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    for data in (b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", b"\0" * 3000, b"Info" * 1000):
        path.write_bytes(data)
        with pytest.raises((ValueError, EOFError)):
            open_finished(path)


def test_rf64_is_read_where_its_header_says(tmp_path: Path) -> None:
    """A file of 4 GiB that is mostly a hole."""
    from server.audio.writing.track_writer import SAMPLES
    from server.audio.writing.wav import wav_header

    frames, path = 2**30 + 5, tmp_path / "t.wav"
    header = wav_header(frames, SAMPLES["PCM_16"])
    with path.open("wb") as file:
        file.write(header)
        file.seek(len(header) + 4 * (frames - 2))
        file.write(np.array([1, 2, 3, -32768], "<i2").tobytes())
    track = open_finished(path)
    assert track.frames == frames
    assert (track.read(frames - 2, 9) * 32768).tolist() == [[1, 2], [3, -32768]]
    track.close()


def test_a_tag_is_read_as_it_was_written() -> None:
    for count, padding in ((3, 0), (1000, 1234), (100_000, 4095)):
        head = mp3_layout.info_tag(count, 1234, padding)
        assert mp3_layout.read_tag(head) == (count, count * 1152 - 576 - padding)
