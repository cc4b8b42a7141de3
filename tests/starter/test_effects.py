"""The mixing desk: equaliser, compressor, width and tremolo do what their dials say."""

import numpy as np
import pytest

from server.starter.synthesis import effects

SR = 44100


def gain_at(band: np.ndarray, hertz: float) -> float:
    """The gain of one equaliser band in dB, measured with a sine."""
    tone = np.sin(2 * np.pi * hertz * np.arange(SR) / SR).astype(np.float32)[None]
    return float(20 * np.log10(effects.equalise(tone, band[None])[0, 9000:].std()
                               / tone[0, 9000:].std()))  # fmt: skip


@pytest.mark.parametrize("db", [-7.0, 5.0])
def test_a_bell_lifts_its_frequency_alone(db):
    band = effects.bell(1000.0, 2.0, db, SR)
    assert gain_at(band, 1000.0) == pytest.approx(db, abs=0.05)
    assert abs(gain_at(band, 60.0)) < 0.1 and abs(gain_at(band, 15000.0)) < 0.1


@pytest.mark.parametrize("db", [-6.0, 4.0])
@pytest.mark.parametrize("high", [False, True])
def test_a_shelf_lifts_one_side(db, high):
    band = effects.shelf(800.0, db, high, SR)
    inside, outside = (15000.0, 40.0) if high else (40.0, 15000.0)
    assert gain_at(band, inside) == pytest.approx(db, abs=0.1)
    assert abs(gain_at(band, outside)) < 0.1
    assert gain_at(band, 800.0) == pytest.approx(db / 2, abs=0.05)


def test_bands_follow_one_another_and_leave_their_input():
    x = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    before = x.copy()
    bands = np.stack([effects.bell(500.0, 1.0, 6.0, SR), effects.shelf(2000.0, -3.0, True, SR)])
    once = effects.equalise(effects.equalise(x, bands[:1]), bands[1:])
    assert np.allclose(effects.equalise(x, bands), once, atol=1e-6)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_the_compressor_holds_its_ratio(ratio):
    x = np.full((2, SR), 0.8, dtype=np.float32)
    gain = effects.gain_track(x, 0.1, ratio, 0.1, float(SR))
    over = 20 * np.log10(8.0)
    assert 20 * np.log10(gain[-1]) == pytest.approx(over / ratio - over, abs=0.05)
    assert (effects.gain_track(x, 0.9, ratio, 0.1, float(SR)) == 1.0).all()


def test_the_compressor_lets_go_at_its_release():
    x = np.zeros((2, SR), dtype=np.float32)
    x[:, :22050] = 0.8
    quick, slow = (effects.gain_track(x, 0.1, 4.0, s, float(SR)) for s in (0.05, 0.3))
    assert quick[26460] > slow[26460] > slow[22049]


def test_width_scales_the_sides():
    x = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    assert np.allclose(effects.widen(x, 1.0), x, atol=1e-6)
    mono = effects.widen(x, 0.0)
    assert np.array_equal(mono[0], mono[1]) and np.allclose(mono[0], x.mean(0), atol=1e-6)


def test_tremolo_sways_between_the_sides():
    x = np.ones((2, SR), dtype=np.float32)
    y = effects.tremolo(x, 1.0, 0.5, SR)
    assert y[0, SR // 4] == pytest.approx(1.0) and y[1, SR // 4] == pytest.approx(1 / 3, rel=1e-3)
    assert y.max() <= 1.0 + 1e-6


def test_silence_stays_silent_at_the_desk():
    quiet = effects.equalise(np.zeros((2, SR), np.float32), effects.bell(99.0, 1, 6, SR)[None])
    assert np.abs(quiet).max() < 1e-15
