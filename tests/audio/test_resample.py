"""The stream of blocks at 44.1 kHz: exact lengths, no seams, bounded blocks."""

import numpy as np
import pytest
import soxr

from server.audio.resample import to_mix_rate


def run(rate: int, samples: np.ndarray, size: int) -> list[np.ndarray]:
    blocks = (samples[start : start + size] for start in range(0, len(samples), size))
    return list(to_mix_rate((rate, block) for block in blocks))


@pytest.mark.parametrize("rate", [8000, 22050, 44056, 48000, 96000, 192000])
def test_blocks_do_not_matter(rate: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (rate // 2 + 1, 2)).astype(np.float32)
    whole = soxr.resample(samples, rate, 44100, quality="HQ")
    for size in (313, 5000):
        assert np.abs(np.concatenate(run(rate, samples, size)) - whole).max() < 1e-6


@pytest.mark.parametrize("rate", [1000, 8000, 44099, 48000, 88200, 768000])
def test_lengths_are_exact(rate: int) -> None:
    for frames in (1, 2, 5, 147, 160, 4801):
        out = run(rate, np.ones((frames, 2), np.float32), 100)
        assert sum(map(len, out)) == max(1, int(frames * 44100 / rate + 0.5))


@pytest.mark.parametrize(("rate", "frames"), [(96000, 1), (192000, 2), (768000, 8)])
def test_less_than_half_a_frame_is_one(rate: int, frames: int) -> None:
    out = np.concatenate(run(rate, np.full((frames, 2), 0.25, np.float32), 1))
    assert out.tolist() == [[0.25, 0.25]]
    assert run(rate, np.zeros((0, 2), np.float32), 1) == []


@pytest.mark.parametrize("rate", [1000, 4000, 48000, 768000])
def test_blocks_are_bounded(rate: int) -> None:
    out = run(rate, np.ones((20 * rate, 2), np.float32), 20 * rate)
    assert max(map(len, out)) < 100_000
    assert sum(map(len, out)) == 20 * 44100


def test_the_rate_may_change_on_the_way() -> None:
    pairs = [(44100, np.full((441, 2), 1, np.float32)), (48000, np.full((480, 2), 2, np.float32)),
             (44100, np.full((441, 2), 3, np.float32))]  # fmt: skip
    out = np.concatenate(list(to_mix_rate(pairs)))
    assert len(out) == 3 * 441
    assert out[200, 0] == 1
    assert out[660, 0] == pytest.approx(2, abs=0.01)
    assert out[1200, 0] == 3
