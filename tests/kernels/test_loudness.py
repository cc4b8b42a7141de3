"""Loudness against pyloudnorm, the standard's own numbers and EBU Tech 3341's signals."""

import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from kernels import LoudnessMeter, integrated_loudness
from kernels.gating import k_weighting
from tests.kernels import twins


def tones(*parts, sr=48_000, frequency=1000):
    """Stereo sine of (level in dBFS, seconds) after one another, float32."""
    levels = np.concatenate([np.full(round(sr * s), 10 ** (db / 20)) for db, s in parts])
    wave = levels * np.sin(2 * np.pi * frequency * np.arange(levels.size) / sr)
    return np.stack([wave, wave]).astype(np.float32)


def slow_loudness(y, sr, weights):
    """BS.1770-4 as it reads: filter all, cut overlapping blocks, gate twice."""
    for b0, b1, b2, a1, a2 in k_weighting(sr):
        y = lfilter([b0, b1, b2], [1, a1, a2], y.astype(np.float64), axis=1)
    powers = []
    for j in range(y.shape[1]):
        start, stop = j * sr // 10, (j + 4) * sr // 10
        if stop > y.shape[1]:
            break
        powers.append(np.dot(weights, np.mean(y[:, start:stop] ** 2, axis=1)))
    with np.errstate(divide="ignore"):
        loudness = -0.691 + 10 * np.log10(np.array(powers))
        gated = np.array(powers)[loudness > -70]
        if gated.size == 0:
            return -math.inf
        relative = -0.691 + 10 * np.log10(gated.mean()) - 10
        kept = np.array(powers)[(loudness > -70) & (loudness > relative)]
    return -0.691 + 10 * np.log10(kept.mean())


def test_filters_are_the_standards_at_48_khz():
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285]
    shelf += [-1.69065929318241, 0.73248077421585]
    cut = [1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(k_weighting(48_000), [shelf, cut], rtol=0, atol=1e-9)


# EBU Tech 3341, table 1, cases 1 to 5: what a meter must read, within 0.1 LU.
@twins.needs_jit
@pytest.mark.parametrize("sr", [44_100, 48_000])
@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_ebu_3341_stereo(sr, parts, wanted):
    assert integrated_loudness(tones(*parts, sr=sr), sr) == pytest.approx(wanted, abs=0.1)


@twins.needs_jit
def test_ebu_3341_surround():
    """Case 6: L R at -28, C at -24, Ls Rs at -30 dBFS; the LFE, silent there, does not count."""
    tone = tones((0, 20))[0]
    levels = [10 ** (db / 20) for db in (-28, -28, -24)]
    surround = [10 ** (-30 / 20)] * 2
    five = np.outer([*levels, *surround], tone).astype(np.float32)
    six = np.outer([*levels, 0.9, *surround], tone).astype(np.float32)
    assert integrated_loudness(five, 48_000) == pytest.approx(-23, abs=0.1)
    assert integrated_loudness(six, 48_000) == integrated_loudness(five, 48_000)


@twins.needs_jit
@pytest.mark.parametrize("sr", [16_000, 44_100, 96_000])
def test_equal_to_pyloudnorm(sr):
    y = twins.noise(2, sr * 6) * np.linspace(0.001, 0.5, sr * 6, dtype=np.float32)
    meter = pyloudnorm.Meter(sr, filter_class="DeMan")
    assert integrated_loudness(y, sr) == pytest.approx(meter.integrated_loudness(y.T), abs=0.01)


@given(
    seed=st.integers(0, 99),
    channels=st.integers(1, 8),
    sr=st.sampled_from([4000, 8000, 11_025]),
    seconds=st.floats(0, 3),
    quiet=st.floats(0, 1),
)
@settings(max_examples=twins.examples(30))
def test_equal_to_the_twin(seed, channels, sr, seconds, quiet):
    y = twins.noise(channels, int(seconds * sr), seed)
    y[:, : int(y.shape[1] * quiet)] *= 0.03
    weights = {
        4: [1, 1, 1.41, 1.41],
        5: [1, 1, 1, 1.41, 1.41],
        6: [1, 1, 1, 0, 1.41, 1.41],
        7: [1, 1, 1, 0, 1, 1.41, 1.41],
        8: [1, 1, 1, 0, 1, 1, 1.41, 1.41],
    }.get(channels, [1] * channels)
    wanted = slow_loudness(y, sr, weights)
    assert integrated_loudness(y, sr) == pytest.approx(wanted, abs=1e-4)


@given(cuts=st.lists(st.integers(0, 6000), max_size=6), samples=st.integers(0, 6000))
@settings(max_examples=twins.examples(30))
def test_the_stream_is_the_whole(cuts, samples):
    y = twins.noise(2, samples)
    meter = LoudnessMeter(4000, 2)
    for part in np.split(y, sorted(min(cut, samples) for cut in cuts), axis=1):
        meter.feed(part)
    assert meter.integrated() == pytest.approx(integrated_loudness(y, 4000), abs=1e-9)


@pytest.mark.parametrize("samples", [0, 1, 1599])
def test_too_short_for_a_block(samples):
    assert integrated_loudness(twins.noise(2, samples), 4000) == -math.inf
    assert math.isfinite(integrated_loudness(twins.noise(2, 1600), 4000))


def test_silence():
    assert integrated_loudness(np.zeros((2, 8000), np.float32), 4000) == -math.inf


@twins.needs_jit
def test_the_absolute_gate():
    assert integrated_loudness(tones((-71, 1)), 48_000) == -math.inf
    assert integrated_loudness(tones((-69, 1)), 48_000) == pytest.approx(-69, abs=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_bad_samples_are_silence(bad):
    y = twins.noise(2, 8000)
    y[1, 3000:3010] = 0
    healed = integrated_loudness(y, 4000)
    y[1, 3000:3010] = bad
    assert integrated_loudness(y, 4000) == healed


def test_wrong_input():
    with pytest.raises(ValueError, match="sample rate"):
        LoudnessMeter(3999, 2)
    for channels in (0, 9):
        with pytest.raises(ValueError, match="channels"):
            LoudnessMeter(44_100, channels)
    with pytest.raises(ValueError, match="shape"):
        integrated_loudness(np.zeros(5, np.float32), 44_100)
    with pytest.raises(ValueError, match="shape"):
        LoudnessMeter(44_100, 2).feed(np.zeros((1, 5), np.float32))
