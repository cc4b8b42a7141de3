"""Gains and rounding, against their definitions."""

import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels import apply_gain, integrated_loudness, normalisation_gain, quantise, true_peak
from tests.kernels import twins

levels = st.floats(-70, 20)


@given(loudness=levels, peak=levels, target=levels, ceiling=levels)
def test_gain_reaches_target_or_ceiling(loudness, peak, target, ceiling):
    gain_db = 20 * math.log10(normalisation_gain(loudness, peak, target, ceiling))
    assert loudness + gain_db <= target + 1e-9
    assert peak + gain_db <= ceiling + 1e-9
    reached = (target - loudness - gain_db, ceiling - peak - gain_db)
    assert min(abs(gap) for gap in reached) < 1e-9


@pytest.mark.parametrize("loudness", [-math.inf, math.nan])
def test_unknown_loudness_keeps_the_level(loudness):
    assert normalisation_gain(loudness, -math.inf, -14, -1) == 1
    assert normalisation_gain(loudness, math.nan, -14, -1) == 1
    assert normalisation_gain(loudness, -20, -14, -1) == 1
    assert normalisation_gain(loudness, 5, -14, -1) == pytest.approx(10 ** (-6 / 20))


@twins.needs_jit
@pytest.mark.parametrize(("level", "limited"), [(0.01, False), (0.5, False), (0.02, True)])
def test_a_normalised_song_measures_so(level, limited):
    sr = 44_100
    y = np.tanh(twins.noise(2, sr * 3)) * np.float32(level)
    if limited:
        y[:, 1000] = 0.9  # one click that leaves no room
    gain = normalisation_gain(integrated_loudness(y, sr), true_peak(y, sr), -14, -1)
    apply_gain(y, gain)
    assert true_peak(y, sr) <= -1 + 1e-3
    if limited:
        assert true_peak(y, sr) == pytest.approx(-1, abs=1e-3)
        assert integrated_loudness(y, sr) < -20
    else:
        reached = (integrated_loudness(y, sr) + 14, true_peak(y, sr) + 1)
        assert min(abs(gap) for gap in reached) < 1e-2


def test_gain_works_in_place_on_any_float32_view():
    whole = np.ones((4, 6), np.float32)
    apply_gain(whole[1:3, ::2], 0.5)
    assert whole.dtype == np.float32
    assert whole.sum() == 24 - 3


@given(
    samples=arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32)),
    bits=st.sampled_from([16, 24]),
)
def test_quantise_rounds_and_clips(samples, bits):
    full = 2 ** (bits - 1)
    exact = np.nan_to_num(samples.astype(np.float64) * full, nan=0.0)
    wanted = np.clip(np.rint(exact), -full, full - 1).astype(np.int64)
    np.testing.assert_array_equal(quantise(samples, bits), wanted << (8 if bits == 24 else 0))


@pytest.mark.parametrize(("bits", "subtype"), [(16, "PCM_16"), (24, "PCM_24")])
def test_what_is_written_is_the_nearest(bits, subtype, tmp_path):
    """Through libsndfile and back: never more than half a step away."""
    y = np.clip(twins.noise(2, 500), -0.99, 0.99).T
    soundfile.write(tmp_path / "a.wav", quantise(y, bits), 44_100, subtype=subtype)
    back = soundfile.read(tmp_path / "a.wav", dtype="float64")[0]
    assert np.abs(back - y).max() <= 0.5 / 2 ** (bits - 1) + 1e-12


def test_quantise_keeps_the_shape():
    assert quantise(np.zeros((3, 2), np.float32), 16).shape == (3, 2)
    assert quantise(np.zeros((3, 4), np.float32)[:, ::2], 24).dtype == np.int32


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="bits"):
        quantise(np.zeros(3, np.float32), 8)


@given(
    samples=arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32)),
    bits=st.sampled_from([16, 24]), seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 50),
)  # fmt: skip
def test_dithered_samples_are_within_a_step_and_a_half(samples, bits, seed, cut):
    full = 2 ** (bits - 1)
    shift = 8 if bits == 24 else 0
    got = quantise(samples, bits, seed).astype(np.int64) >> shift
    exact = np.clip(np.nan_to_num(samples.astype(np.float64), nan=0.0), -1, 1) * full
    assert np.all(np.abs(got - np.clip(exact, -full, full - 1)) <= 1.5)
    assert got.size == 0 or (got.min() >= -full and got.max() < full)
    first = min(cut, samples.size)
    parts = [quantise(samples[:first], bits, seed), quantise(samples[first:], bits, seed, first)]
    np.testing.assert_array_equal(np.concatenate(parts).astype(np.int64) >> shift, got)


@twins.needs_jit
def test_the_error_of_dithered_samples_does_not_depend_on_the_signal():
    """Its mean is 0 and its power a quarter of a step squared, wherever between two steps."""
    for offset in (0.0, 0.1, 0.25, 0.5, 0.9):
        y = np.full(200_000, offset / 2**15, np.float32)
        error = quantise(y, 16, dither=7) - offset
        assert error.mean() == pytest.approx(0, abs=0.01)
        assert error.var() == pytest.approx(0.25, abs=0.01)
    noise = quantise(np.zeros(200_000, np.float32), 16, 7).astype(float)
    other = quantise(np.zeros(200_000, np.float32), 16, 8)
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.01, "tracks add up as strangers"
    for lag in range(1, 20):
        assert abs(np.corrcoef(noise[lag:], noise[:-lag])[0, 1]) < 0.02, "white"


def test_a_tone_below_a_step_is_heard_through_the_noise():
    y = (0.4 * np.sin(np.arange(4000) / 7) / 2**15).astype(np.float32)
    assert not quantise(y, 16).any()
    assert np.corrcoef(quantise(y, 16, dither=1), y)[0, 1] > 0.2
