"""True peak against exact interpolation and EBU Tech 3341's signals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample

from kernels import LoudnessMeter, true_peak
from tests.kernels import twins


def faded_sine(amplitude, period, degrees, samples=9600):
    """One channel of a sine of `period` samples, faded in and out so that nothing rings."""
    n = np.arange(samples)
    fade = np.clip(np.minimum(n, samples - 1 - n) / (samples / 8), 0, 1)
    wave = amplitude * np.sin(2 * np.pi * n / period + np.radians(degrees))
    return (wave * np.sin(fade * np.pi / 2) ** 2)[None].astype(np.float32)


# EBU Tech 3341, table 1, cases 15 to 19: what a meter must read, within +0.2 and -0.4 dB.
@pytest.mark.parametrize(
    ("amplitude", "period", "degrees", "wanted"),
    [
        (0.50, 4, 0, -6.0),
        (0.50, 4, 45, -6.0),
        (0.50, 6, 60, -6.0),
        (0.50, 8, 67.5, -6.0),
        (1.41, 4, 45, 3.0),
    ],
)
def test_ebu_3341(amplitude, period, degrees, wanted):
    read = true_peak(faded_sine(amplitude, period, degrees), 48_000)
    assert wanted - 0.4 <= read <= wanted + 0.2


def test_samples_alone_would_miss_it():
    wave = faded_sine(0.5, 4, 45)
    assert 20 * np.log10(np.abs(wave).max()) < -8.9
    assert true_peak(wave, 48_000) > -6.1


@given(seed=st.integers(0, 99), samples=st.integers(1, 700), channels=st.integers(1, 3))
@settings(max_examples=twins.examples(30))
def test_equal_to_exact_interpolation(seed, samples, channels):
    """Band-limited noise in silence, against the Fourier interpolation at four times the rate."""
    spectrum = np.fft.rfft(twins.noise(channels, 2048, seed), axis=1)
    spectrum[:, 800:] = 0  # below 0.39 of the sample rate
    spectrum *= np.exp(-np.linspace(0, 1, spectrum.shape[1]))
    smooth = np.fft.irfft(spectrum, axis=1)
    window = np.zeros(2048)
    window[700 : 700 + samples] = np.hanning(samples + 2)[1:-1]
    y = (smooth * window).astype(np.float32)
    exact = np.abs(resample(y.astype(np.float64), 4 * 2048, axis=1)).max()
    assert true_peak(y, 44_100) == pytest.approx(20 * math.log10(exact), abs=0.15)


@given(cuts=st.lists(st.integers(0, 3000), max_size=6), samples=st.integers(0, 3000))
@settings(max_examples=twins.examples(30))
def test_the_stream_is_the_whole(cuts, samples):
    y = twins.noise(2, samples)
    meter = LoudnessMeter(44_100, 2)
    for part in np.split(y, sorted(min(cut, samples) for cut in cuts), axis=1):
        meter.feed(part)
        meter.true_peak()  # looking does not disturb
    assert meter.true_peak() == pytest.approx(true_peak(y, 44_100), abs=1e-5)


def test_no_cut_hides_a_peak():
    """One sample and one peak between samples, cut at every place near them."""
    for first, second in [(0.5, 0.0), (0.4, 0.4)]:
        y = np.zeros((1, 200), np.float32)
        y[0, 100], y[0, 101] = first, second
        for cut in range(70, 131):
            meter = LoudnessMeter(44_100, 1)
            meter.feed(y[:, :cut])
            meter.feed(y[:, cut:])
            assert meter.true_peak() == pytest.approx(true_peak(y, 44_100), abs=1e-5)


def test_between_the_last_sample_and_silence():
    """Two equal samples at the very end: the curve rises above both."""
    y = np.zeros((1, 100), np.float32)
    y[0, -2:] = 0.5
    assert true_peak(y, 44_100) > 20 * math.log10(0.6)


@pytest.mark.parametrize("samples", [0, 1, 600])
def test_silence(samples):
    assert true_peak(np.zeros((2, samples), np.float32), 44_100) == -math.inf


@given(position=st.integers(0, 1299), channel=st.integers(0, 2))
@settings(max_examples=twins.examples(30))
def test_no_sample_is_overlooked(position, channel):
    y = np.zeros((3, 1300), np.float32)
    y[channel, position] = -0.25
    assert true_peak(y, 44_100) == pytest.approx(20 * math.log10(0.25), abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e20])
def test_bad_samples_are_silence(bad):
    y = twins.noise(2, 500)
    y[0, 100] = 0
    healed = true_peak(y, 44_100)
    y[0, 100] = bad
    assert true_peak(y, 44_100) == healed
