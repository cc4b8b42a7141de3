"""Separation against librosa and the twin; the stream against the whole."""

import tracemalloc
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import HPSSStream, hpss
from tests.kernels import twins

SMALL = {"n_fft": 64, "hop_length": 16}


def stream(y, cuts, **options):
    """Feed `y` cut at `cuts`; both parts put together again."""
    machine = HPSSStream(y.shape[0], **options)
    out = [machine.feed(part) for part in np.split(y, sorted(cuts), axis=1)]
    out.append(machine.finish())
    return [np.concatenate(parts, axis=1) for parts in zip(*out, strict=True)]


def tone_and_clicks():
    tone = 0.5 * np.sin(np.arange(40_000) * 0.05)
    tone[::9000] += 1
    return twins.noise(2, 40_000) * 0.1 + tone.astype(np.float32)


def assert_separated(got, y, **options):
    """At least 80 dB to the twin, measured against the signal."""
    for part, wanted in zip(got, twins.hpss(y, **options), strict=True):
        assert part.dtype == np.float32
        assert part.shape == y.shape
        assert twins.snr(y + (part - wanted), y) > 80


@twins.needs_jit
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 3.0},
        {"margin": (1.0, 5.0)},
        {"power": 1.0},
        {"kernel_size": (17, 63)},
        {"kernel_size": (4, 6), "power": 3.3, "margin": 2.0},
        {"n_fft": 1024, "hop_length": 1000},
    ],
)
def test_equal_to_librosa(options):
    y = tone_and_clicks()
    wanted = librosa.effects.hpss(y, **{"hop_length": 512, **options})
    for part, theirs in zip(hpss(y, **options), wanted, strict=True):
        assert twins.snr(part, theirs) > 80


@twins.needs_jit
def test_hard_mask_equal_to_librosa():
    """A hard mask jumps: where both medians agree to 1e-7, rounding decides the whole bin."""
    y = tone_and_clicks()
    wanted = librosa.effects.hpss(y, power=np.inf)
    for part, theirs in zip(hpss(y, power=np.inf), wanted, strict=True):
        assert twins.snr(part, theirs) > 50
        assert np.median(np.abs(part - theirs)) < 1e-7


@given(
    seed=st.integers(0, 99),
    channels=st.integers(1, 3),
    samples=st.integers(0, 1500),
    kernels=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    margin=st.sampled_from([1.0, 1.5, (1.0, 4.0)]),
    power=st.sampled_from([0.5, 2.0, 7.0]),
    sizes=st.sampled_from([(64, 16), (64, 64), (31, 7), (32, 1), (2, 1), (48, 40)]),
)
@settings(max_examples=twins.examples(50))
def test_equal_to_the_twin(seed, channels, samples, kernels, margin, power, sizes):
    options = {"n_fft": sizes[0], "hop_length": sizes[1], "kernel_size": kernels}
    options |= {"margin": margin, "power": power}
    y = twins.noise(channels, samples, seed)
    if samples:
        assert_separated(hpss(y, **options), y, **options)
    else:
        assert [part.shape for part in hpss(y, **options)] == [y.shape, y.shape]


@given(
    seed=st.integers(0, 99),
    samples=st.integers(0, 1500),
    kernels=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    sizes=st.sampled_from([(64, 16), (64, 64), (31, 7), (32, 1)]),
)
@settings(max_examples=twins.examples(30))
def test_a_hard_mask_on_short_clips_is_finite(seed, samples, kernels, sizes):
    """Short clips have bins where both medians are equal: as in librosa they go to neither part,
    and there rounding decides, so that the parts cannot be compared with the twin's."""
    y = twins.noise(2, samples, seed)
    for part in hpss(y, n_fft=sizes[0], hop_length=sizes[1], kernel_size=kernels, power=np.inf):
        assert part.shape == y.shape
        assert np.isfinite(part).all()


@given(
    seed=st.integers(0, 99),
    samples=st.integers(0, 2500),
    cuts=st.lists(st.integers(0, 2500), max_size=6),
    kernel=st.integers(1, 70),
    margin=st.sampled_from([1.0, 2.0]),
)
@settings(max_examples=twins.examples(40))
def test_the_stream_is_the_whole_bit_for_bit(seed, samples, cuts, kernel, margin):
    options = {**SMALL, "kernel_size": kernel, "margin": margin}
    y = twins.noise(2, samples, seed)
    parts = stream(y, [min(cut, samples) for cut in cuts], **options)
    np.testing.assert_array_equal(parts, hpss(y, **options))


def test_samples_one_by_one():
    y = twins.noise(1, 900)
    np.testing.assert_array_equal(stream(y, range(900), **SMALL), hpss(y, **SMALL))


@pytest.mark.parametrize("power", [0.5, 2.0, 40.0])
def test_parts_add_up_to_the_signal(power):
    y = twins.noise(2, 5000)
    harmonic, percussive = hpss(y, **SMALL, power=power)
    np.testing.assert_allclose(harmonic + percussive, y, atol=1e-5)


def test_a_tone_is_harmonic_and_a_click_percussive():
    y = np.zeros((1, 8000), np.float32)
    y[0, :4000] = np.sin(np.arange(4000) * 0.7)
    y[0, 6000] = 1
    harmonic, percussive = hpss(y, n_fft=256, hop_length=64)
    tone, click = slice(1000, 3000), slice(5900, 6100)
    assert np.sum(harmonic[0, tone] ** 2) > 100 * np.sum(percussive[0, tone] ** 2)
    assert np.sum(percussive[0, click] ** 2) > 100 * np.sum(harmonic[0, click] ** 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("margin", [1.0, 2.0])
def test_bad_samples_are_silence(bad, margin):
    y = twins.noise(2, 2000)
    y[0, 700:720] = bad
    healed = np.where(np.abs(y) < 1e12, y, 0).astype(np.float32)
    options = {**SMALL, "margin": margin}
    np.testing.assert_array_equal(hpss(y, **options), hpss(healed, **options))


def test_channels_do_not_touch():
    y = twins.noise(2, 3000)
    alone = hpss(y[:1], **SMALL)
    np.testing.assert_array_equal(np.stack(hpss(y, **SMALL))[:, 0], np.stack(alone)[:, 0])


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-10, 1e9])
def test_any_level_stays_finite_and_adds_up(level):
    y = twins.noise(2, 2000) * np.float32(level)
    harmonic, percussive = hpss(y, **SMALL)
    np.testing.assert_allclose(harmonic + percussive, y, rtol=0, atol=1e-6 * level + 1e-38)


def test_what_is_too_faint_to_square():
    """Below 1e-19 a bin counts as empty: shared with margin 1, in neither part otherwise."""
    faint = twins.noise(1, 600) * np.float32(1e-25)
    np.testing.assert_allclose(hpss(faint, **SMALL)[0], faint / 2, rtol=0, atol=1e-30)
    assert not np.any(hpss(faint, **SMALL, margin=2.0))


@twins.needs_jit
def test_memory_does_not_grow_with_the_signal():
    block = twins.noise(2, 22_050)

    def peak(blocks):
        machine = HPSSStream(2)
        tracemalloc.start()
        for _ in range(blocks):
            machine.feed(block)
        machine.finish()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(4)
    assert peak(40) < 1.1 * peak(8)


@twins.needs_jit
def test_a_late_start_costs_no_more_than_halo_and_block():
    """What has come out lags behind what went in by no more than the docstring says."""
    machine = HPSSStream(1)
    fed = out = 0
    for _ in range(100):
        out += machine.feed(np.zeros((1, 4096), np.float32))[0].shape[1]
        fed += 4096
        assert fed - out <= (15 + 32) * 512 + 2048


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats_are_converted(dtype):
    y = twins.noise(1, 500).astype(dtype)
    np.testing.assert_array_equal(hpss(y, **SMALL), hpss(y.astype(np.float32), **SMALL))


def test_the_input_is_left_alone():
    y = twins.noise(2, 500)[:, ::-1]
    y.flags.writeable = False
    before = y.copy()
    hpss(y, **SMALL)
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize(
    "options",
    [
        {"margin": 0.5},
        {"margin": (1.0, np.inf)},
        {"margin": np.nan},
        {"power": 0},
        {"power": np.nan},
        {"kernel_size": 0},
        {"n_fft": 1},
        {"hop_length": 0},
        {"hop_length": 4096},
    ],
)
def test_settings_out_of_range(options):
    with pytest.raises(ValueError, match=r"must be|between"):
        hpss(np.zeros((2, 10), np.float32), **options)


def test_wrong_input():
    with pytest.raises(ValueError, match="shape"):
        hpss(np.zeros(10, np.float32))
    with pytest.raises(ValueError, match="channel"):
        hpss(np.zeros((0, 10), np.float32))
    with pytest.raises(ValueError, match="shape"):
        HPSSStream(2).feed(np.zeros((1, 10), np.float32))
    with pytest.raises(TypeError, match="floating"):
        hpss(np.zeros((2, 10), np.int16))


def test_a_finished_stream_takes_nothing():
    machine = HPSSStream(1, **SMALL)
    machine.finish()
    with pytest.raises(ValueError, match="finished"):
        machine.feed(np.zeros((1, 1), np.float32))
    with pytest.raises(ValueError, match="finished"):
        machine.finish()


@twins.needs_jit
def test_the_twin_is_librosa():
    """The twin itself, where librosa can be trusted (SciPy's median of very short axes cannot)."""
    y = twins.noise(2, 3000)
    options = {**SMALL, "kernel_size": (9, 7), "margin": (1.5, 2.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = librosa.effects.hpss(y, **options)
    for part, wanted in zip(theirs, twins.hpss(y, **options), strict=True):
        assert twins.snr(part, wanted) > 100
