"""Peaks: what a waveform is drawn from, whatever the blocks that it comes in."""

from pathlib import Path

import numpy as np
import pytest

from server.audio.peaks import COARSE, FINE, PeakMeter, coarser, louder, pairs_of
from server.audio.writing.encode import encode
from server.work.steps import finish

from .making import song, write_mix


def slow_pairs(samples: np.ndarray, length: int) -> list[list[int]]:
    """Stretch by stretch, as the words say it."""
    pairs = []
    for start in range(0, len(samples), length):
        part = samples[start : start + length]
        pairs.append([round(127 * float(min(max(x, -1), 1))) for x in (part.min(), part.max())])
    return pairs


@pytest.mark.parametrize("frames", [0, 1, FINE - 1, FINE, FINE + 1, COARSE, COARSE + 1, 50_000])
@pytest.mark.parametrize("step", [1, 100, FINE, 7000, 100_000])
def test_every_stretch_has_its_lowest_and_highest_sample(frames: int, step: int) -> None:
    if frames // step > 2000:
        step = 25
    samples = 2 * song(2)[:frames]
    meter = PeakMeter()
    for start in range(0, frames, step):
        meter.add(samples[start : start + step])
    pairs = meter.finish()
    assert pairs.dtype == np.int8
    assert pairs.tolist() == slow_pairs(samples, FINE)
    assert coarser(pairs).tolist() == slow_pairs(samples, COARSE)


def test_beyond_full_scale_is_full_scale() -> None:
    loud = np.full((FINE, 2), 3.0, np.float32)
    loud[0, 1] = -1.7
    assert pairs_of(loud).tolist() == [[-127, 127]]
    assert louder(pairs_of(loud / 4), 8.0).tolist() == [[-127, 127]]
    assert louder(pairs_of(loud / 4), 0.5).tolist() == [[-27, 48]]


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3"])
def test_a_track_and_its_peaks_appear_together(tmp_path: Path, format: str) -> None:
    sound = song(2)
    write_mix(tmp_path / "s.f32", sound)
    for gain in (1.0, 0.5):
        finish(encode(tmp_path / "s.f32", tmp_path / "out" / "t", "PCM_16", gain, format,
                      tmp_path / "peaks" / "t"))
        found = np.frombuffer((tmp_path / "peaks" / "t").read_bytes(), np.int8).reshape(-1, 2)
        assert found.tolist() == slow_pairs(np.float32(gain) * sound, FINE)


def test_a_track_that_failed_has_no_peaks(tmp_path: Path) -> None:
    write_mix(tmp_path / "s.f32", song(1))
    steps = encode(tmp_path / "s.f32", tmp_path / "t.wav", "PCM_16", peaks=tmp_path / "peaks" / "t")
    next(steps)
    steps.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.f32"]
