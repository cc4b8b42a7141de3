"""Plucked and struck strings, and what they are heard through, held against their physics."""

import numpy as np
import pytest

from server.starter.synthesis import amps, effects, guitars
from server.starter.synthesis.pianos import electric_piano, piano
from server.starter.synthesis.players import Player, perform, string
from server.starter.synthesis.plucked import Pluck
from server.starter.synthesis.score import Note

SR = 44100


def spectrum(x: np.ndarray) -> np.ndarray:
    """Magnitudes at multiples of SR / len(x) Hz."""
    return np.abs(np.fft.rfft(x * np.hanning(len(x))))


def peak_near(x: np.ndarray, hertz: float, cents: float) -> float:
    """Where the strongest line within `cents` of `hertz` lies, in Hz."""
    power, bin_hz = spectrum(np.pad(x, (0, 3 * len(x)))), SR / (4 * len(x))
    low, high = (int(hertz * 2 ** (side * cents / 1200) / bin_hz) for side in (-1, 1))
    return (low + int(power[low:high].argmax())) * bin_hz


def loudness(x: np.ndarray, hertz: float) -> float:
    """The magnitude at `hertz`."""
    k = round(hertz * len(x) / SR)
    return float(spectrum(x)[k - 3 : k + 4].max())


def one_note(player: Player, pitch: float, velocity: float = 0.9) -> np.ndarray:
    return perform(player, [Note(0.0, 1.0, pitch, velocity)], SR, SR)


@pytest.mark.parametrize(("pick", "pickup"), [(0.25, 0.0), (0.13, 0.25)])
def test_a_node_under_pick_or_pickup_silences_its_harmonic(pick, pickup):
    player = string(np.random.default_rng(0), SR, Pluck(8.0, 0.9, 0.1, pick, pickup))
    x = np.mean([np.square(spectrum(one_note(player, 45.0))) for _ in range(12)], axis=0)
    level = [float(x[110 * k - 3 : 110 * k + 4].max()) for k in range(1, 8)]
    assert level[3] < 0.1 * min(level[2], level[4])


def test_a_bend_rises_to_the_pitch():
    bent = Pluck(9.0, 0.6, 0.1, 0.15, 0.0, -200.0)
    x = one_note(string(np.random.default_rng(0), SR, bent), 69.0)
    onset, later = (peak_near(x[a : a + 2205], 440.0, 300.0) for a in (0, 26460))
    assert onset < 415.0
    assert later == pytest.approx(440.0, rel=0.005)


def test_vibrato_sways_the_pitch():
    x = one_note(
        string(np.random.default_rng(0), SR, Pluck(9.0, 0.6, 0.1, 0.15, 0.0, 0.0, 40.0)), 69
    )
    found = [peak_near(x[a : a + 2205], 440.0, 100.0) for a in range(24255, 41000, 1102)]
    assert 1200 * np.log2(max(found) / min(found)) > 40.0


def test_the_palm_mutes_short_notes():
    player = guitars.electric(np.random.default_rng(3), SR)
    choked = perform(player, [Note(0.0, 0.14, 45.0, 0.9)], SR, SR)
    ringing = perform(player, [Note(0.0, 0.16, 45.0, 0.9)], SR, SR)
    assert choked[4410:6000].std() < 0.5 * ringing[4410:6000].std()


@pytest.mark.parametrize("make", [guitars.acoustic, guitars.electric, guitars.soloing])
def test_equal_dice_make_equal_guitars(make):
    one, two = (one_note(make(np.random.default_rng(4), SR), 52.0) for _ in range(2))
    assert np.array_equal(one, two) and one.std() > 1e-3


def test_a_piano_is_stretched_and_an_electric_one_is_not():
    struck = one_note(piano(np.random.default_rng(1), SR), 48.0)
    assert peak_near(struck, 1308.1 * 1.005, 25.0) > 10.02 * peak_near(struck, 130.81, 50.0)
    tine = one_note(electric_piano(np.random.default_rng(1), SR), 48.0)
    assert peak_near(tine, 130.81, 50.0) == pytest.approx(130.81, rel=0.002)


def test_a_harder_touch_is_brighter_and_high_notes_die_sooner():
    player = piano(np.random.default_rng(2), SR)
    soft, hard = (one_note(player, 48.0, v) for v in (0.3, 1.0))
    share = [loudness(x, 1308.0) / loudness(x, 130.81) for x in (soft, hard)]
    assert share[1] > 1.3 * share[0]
    fall = [x[30000:40000].std() / x[2000:12000].std()
            for x in (one_note(player, 40.0), one_note(player, 88.0))]  # fmt: skip
    assert fall[1] < 0.5 * fall[0]


@pytest.mark.parametrize("treat", [amps.amplified, amps.bodied])
def test_amplifiers_and_bodies_keep_the_level(treat):
    x = 0.2 * np.random.default_rng(0).standard_normal((2, SR)).astype(np.float32)
    for seed in range(5):
        made = treat(x, np.random.default_rng(seed), SR)
        assert effects.active_rms(made, SR) == pytest.approx(effects.active_rms(x, SR), rel=1e-3)
    assert not treat(np.zeros((2, SR), np.float32), np.random.default_rng(0), SR).round(9).any()


def test_a_cabinet_passes_little_treble():
    x = np.random.default_rng(0).standard_normal((2, SR)).astype(np.float32)
    power = np.square(spectrum(amps.amplified(x, np.random.default_rng(1), SR)[0]))
    assert power[12000:20000].mean() < 0.01 * power[500:3000].mean()
