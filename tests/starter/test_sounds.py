"""Instruments, voice and effects, each held against the physics it claims."""

import numpy as np
import pytest

from server.starter.synthesis import effects
from server.starter.synthesis.filters import smooth, state_variable
from server.starter.synthesis.kit import LEVELS, bronze_cymbal, build_kit, skin
from server.starter.synthesis.players import additive, fm, perform, string, synth
from server.starter.synthesis.plucked import Pluck
from server.starter.synthesis.score import Note
from server.starter.synthesis.sounds import Bend, Event, Patch, synth_note
from server.starter.synthesis.voice import Singer, sing

SR = 44100.0
PATCH = Patch(0.0, 0.0, 3000.0, 0.0, 1.0, 0.7, 0.01, 0.5, 0.8, 0.05, 0.0)


def pitch_of(x: np.ndarray, low: float = 60.0, high: float = 1200.0) -> float:
    """The fundamental of `x` in Hz, by the first high peak of its autocorrelation."""
    spectrum = np.fft.rfft(x, 2 * len(x))
    match = np.fft.irfft(np.abs(spectrum) ** 2)[: len(x) // 2]
    first, last = int(SR / high), int(SR / low)
    best = match[first:last].max()
    lag = next(k for k in range(first, last)
               if match[k] > 0.9 * best and match[k - 1] < match[k] >= match[k + 1])  # fmt: skip
    a, b, c = match[lag - 1 : lag + 2]
    return SR / (lag + 0.5 * (a - c) / (a - 2 * b + c))


def player(name: str):
    """One instrument of a kind."""
    rng, k = np.random.default_rng(0), np.arange(1, 6)
    return {
        "synth": lambda: synth(rng, 44100, PATCH),
        "string": lambda: string(rng, 44100, Pluck(3.0, 0.5, 0.12, 0.15, 0.2)),
        "additive": lambda: additive(44100, k, 1.0 / k, 2.0, 0.1),
        "fm": lambda: fm(44100, Bend(1.0, 1.0, 0.5, 1.0, 0.1)),
    }[name]()


@pytest.mark.parametrize("name", ["synth", "string", "additive", "fm"])
@pytest.mark.parametrize("pitch", [40, 57, 72])
def test_notes_are_in_tune_begin_in_time_and_end(name, pitch):
    x = perform(player(name), [Note(0.25, 0.5, pitch, 0.9)], 88200, 44100)
    hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    assert abs(1200 * np.log2(pitch_of(x[15435:33075]) / hertz)) < 8
    assert not x[:11025].any() and np.abs(x[11025:12000]).max() > 0.01
    assert np.abs(x[-4410:]).max() < 0.01 * np.abs(x).max()


@pytest.mark.parametrize("name", ["synth", "string", "additive", "fm"])
def test_a_note_past_the_end_is_cut(name):
    notes = [Note(0.5, 1.0, 60.0, 1.0), Note(2.0, 1.0, 60.0, 1.0)]
    x = perform(player(name), notes, 26460, 44100)
    assert not x[:22050].any() and x[22050:].any()


def test_smoothing_approaches_at_its_time_constant():
    step = np.concatenate([np.zeros(1), np.ones(100)])
    assert smooth(step, 10.0)[10] == pytest.approx(1 - np.exp(-1), rel=1e-6)


def test_oscillator_hardly_aliases():
    hertz, n = 3000.0, 44100
    out = np.zeros(n, dtype=np.float32)
    open_filter = PATCH._replace(cutoff=20000.0, attack=0.001, sustain=1.0)
    synth_note(out, Event(0, 2.0, hertz, 1.0), open_filter, np.zeros(3), SR)
    power = np.square(np.abs(np.fft.rfft(out * np.hanning(n))))
    harmonic = np.zeros(len(power), dtype=bool)
    for k in range(1, 8):
        harmonic[int(k * hertz) - 8 : int(k * hertz) + 9] = True
    assert power[~harmonic].sum() < 0.005 * power.sum()


@pytest.mark.parametrize(("kind", "kept", "cut"), [(0, 100.0, 8000.0), (2, 8000.0, 100.0)])
def test_filter_keeps_its_band(kind, kept, cut):
    t = np.arange(22050) / SR
    level = {f: state_variable(np.sin(2 * np.pi * f * t), 900.0, 0.7, kind, SR)[5000:].std()
             for f in (kept, cut)}  # fmt: skip
    assert level[kept] == pytest.approx(np.sqrt(0.5), rel=0.05)
    assert level[cut] < 0.03


def test_singer_hits_the_note_and_rests_when_told():
    singer = Singer(46, 65, 1.0, 0.03, 0.6, 0.0, 5.0, 0.01, 6000.0, 0.05)
    notes = [Note(0.2, 0.8, 57.0, 1.0)]
    voice = sing(singer, notes, 88200, 44100, np.random.default_rng(1))
    cents = 1200 * np.log2(pitch_of(voice[17640:39690]) / 220.0)
    assert abs(cents) < 60
    assert voice[66150:].std() < 0.01 * voice[17640:39690].std()


def test_vowels_have_formants():
    singer = Singer(46, 65, 1.0, 0.03, 0.6, 0.0, 5.0, 0.01, 6000.0, 0.05)
    voice = sing(singer, [Note(0.1, 1.8, 45.0, 1.0)], 88200, 44100, np.random.default_rng(2))
    power = np.square(np.abs(np.fft.rfft(voice)))
    band = [power[int(2 * a) : int(2 * b)].sum() for a, b in ((100, 1000), (5000, 12000))]
    assert band[0] > 10 * band[1] > 0


def test_kits_differ_and_keep_their_levels():
    kits = [build_kit(np.random.default_rng(seed), 44100) for seed in range(6)]
    for kit in kits:
        for name, takes in kit.items():
            assert len(takes) == 3
            for take in takes:
                assert 0.7 * LEVELS[name] < np.abs(take).max() < 1.3 * LEVELS[name]
    assert not np.array_equal(kits[0]["kick"][0], kits[1]["kick"][0])


def test_room_decays_at_its_time():
    x = np.zeros((2, 66150), dtype=np.float32)
    x[:, 0] = 1.0
    lengths = np.array([1309, 1637, 1811, 1931, 2351, 2639, 2957, 3169])
    wet = effects.reverberate(x, lengths, 1.0, 0.0, SR)
    early, late = (wet[:, int(t * SR) : int((t + 0.2) * SR)].std() for t in (0.2, 1.2))
    assert 20 * np.log10(early / late) == pytest.approx(60.0, abs=4.0)


def test_pan_keeps_the_power():
    mono = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    for place in (-1.0, -0.3, 0.0, 1.0):
        power = np.square(effects.pan(mono, place)).sum()
        assert power == pytest.approx(np.square(mono).sum(), rel=1e-5)
    assert np.abs(effects.pan(mono, -1.0)[1]).max() < 1e-6


def test_saturation_keeps_the_peak_and_silence():
    x = np.linspace(-0.7, 0.7, 101, dtype=np.float32)[None].repeat(2, 0)
    driven = effects.saturate(x, 3.0)
    assert np.abs(driven).max() == pytest.approx(0.7, rel=1e-5)
    assert np.abs(driven).mean() > 1.2 * np.abs(x).mean()
    assert not effects.saturate(np.zeros((2, 8), np.float32), 3.0).any()


def test_echo_repeats_swap_sides():
    x = np.zeros((2, 100), dtype=np.float32)
    x[0, 0] = 1.0
    out = effects.echo(x, 10, 0.5, 0.4)
    assert out[1, 10] == pytest.approx(0.4) and out[0, 20] == pytest.approx(0.2)
    assert out[0, 0] == 1.0 and out[1, 0] == 0.0


def test_active_rms_ignores_rests():
    x = np.zeros((2, 44100), dtype=np.float32)
    x[:, :4410] = 0.5
    assert effects.active_rms(x, 44100) == pytest.approx(0.5)
    assert effects.active_rms(np.zeros((2, 44100), np.float32), 44100) == 0.0


def test_a_skin_falls_to_its_pitch_and_its_high_modes_die_first():
    x = skin(np.random.default_rng(0), 44100, 60.0, np.array([0.5, 1.0, 0.0, 0.5]))
    power = [np.square(np.abs(np.fft.rfft(part * np.hanning(6000))))
             for part in (x[:6000], x[9000:15000])]  # fmt: skip
    high = [p[14:60].sum() / p[:14].sum() for p in power]  # above and below some 100 Hz
    assert high[1] < 0.2 * high[0]
    assert pitch_of(np.pad(x[9000:20000], (0, 22050)), 30.0, 200.0) == pytest.approx(60, rel=0.03)


def test_bronze_loses_its_treble_first():
    x = bronze_cymbal(np.random.default_rng(0), 44100, np.full(4, 0.5), 0.9)
    power = [np.square(np.abs(np.fft.rfft(part))) for part in (x[2000:24050], x[66150:88200])]
    treble = [p[4500:].sum() / p[:3000].sum() for p in power]
    assert treble[1] < 0.6 * treble[0]
