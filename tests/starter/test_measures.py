"""The measures against their definitions."""

import numpy as np
import pytest

from server.starter.measuring.measures import (
    FRAME,
    framewise_sdr,
    is_silent,
    level_db,
    measure,
    sdr,
    si_sdr,
)


def noise(seed: int, samples: int = FRAME) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


def test_sdr_is_the_ratio_of_powers():
    s = noise(0)
    assert sdr(s, s + 0.1 * noise(1)) == pytest.approx(20.0, abs=0.1)
    assert sdr(s, np.zeros_like(s)) == pytest.approx(0.0, abs=1e-6)
    assert sdr(s, 0.5 * s) == pytest.approx(6.02, abs=0.01)
    assert 100 < sdr(s, s) < 200


def test_si_sdr_ignores_gain_and_sdr_does_not():
    s, guess = noise(0), noise(0) + 0.1 * noise(1)
    assert si_sdr(s, 0.5 * guess) == pytest.approx(si_sdr(s, guess), abs=1e-3)
    assert sdr(s, 0.5 * guess) < 7.0


def test_si_sdr_is_the_projection_written_out():
    s, g = noise(0).ravel().astype(float), (noise(0) + 0.3 * noise(1)).ravel().astype(float)
    near = s * (s @ g) / (s @ s)
    expected = 10 * np.log10(np.sum(near**2) / np.sum((g - near) ** 2))
    assert si_sdr(s.reshape(2, -1), g.reshape(2, -1)) == pytest.approx(expected, abs=1e-6)
    assert 100 < si_sdr(noise(0), noise(0)) < 200


def test_framewise_sdr_is_the_median_over_seconds():
    s = noise(0, 3 * FRAME + FRAME // 2)
    gains = np.repeat([0.1, 0.01, 0.001, 0.5], [FRAME, FRAME, FRAME, FRAME // 2])
    seconds = [20.0, 40.0, 60.0, 6.02]
    assert framewise_sdr(s, s * (1 + gains)) == pytest.approx(np.median(seconds), abs=0.02)


def test_seconds_of_silence_do_not_count():
    s = noise(0, 3 * FRAME)
    s[:, FRAME:] = 0.0
    assert framewise_sdr(s, s + 0.1 * noise(1, 3 * FRAME)) == pytest.approx(20.0, abs=0.1)


def test_all_measures_come_in_their_order():
    s, guess = noise(0), noise(1)
    assert measure(s, guess) == (sdr(s, guess), framewise_sdr(s, guess), si_sdr(s, guess))


def test_levels():
    s = noise(0)
    assert level_db(0.1 * s, s) == pytest.approx(-20.0, abs=1e-3)
    assert -200 < level_db(np.zeros_like(s), s) < -100
    assert is_silent(0.0009 * s) and not is_silent(0.0011 * s)
