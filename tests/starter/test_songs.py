"""Songs: the same seed gives the same song, and the stems are sound that adds up."""

import numpy as np
import pytest

from server.starter.songs import STEMS, synthesise
from server.starter.synthesis.score import FORM, compose

SR = 44100


def spectrum_centre(x: np.ndarray) -> float:
    """The power-weighted mean frequency of `x` (2, samples), in Hz."""
    power = np.square(np.abs(np.fft.rfft(x.mean(0))))
    return float((power * np.fft.rfftfreq(x.shape[1], 1 / SR)).sum() / power.sum())


@pytest.fixture(scope="module")
def song() -> dict[str, np.ndarray]:
    return synthesise(2_000_003, 16.0)  # it has all six stems


def test_stems_have_their_names_order_shape_and_type(song):
    assert tuple(song) == STEMS == ("drums", "bass", "other", "vocals", "guitar", "piano")
    assert all(x.shape == (2, 16 * SR) and x.dtype == np.float32 for x in song.values())


@pytest.mark.parametrize("seconds", [0.3, 3.0, 12.0])
def test_one_seed_is_one_song(seconds):
    once, again = synthesise(5, seconds), synthesise(5, seconds)
    assert all(np.array_equal(once[name], again[name]) for name in STEMS)


def test_other_seeds_are_other_songs():
    one, two = synthesise(5, 3.0), synthesise(6, 3.0)
    for name in STEMS:
        if not (one[name].any() and two[name].any()):
            continue
        together = np.corrcoef(one[name].ravel(), two[name].ravel())[0, 1]
        assert abs(together) < 0.5


def test_every_stem_of_a_song_is_heard_and_finite(song):
    for x in song.values():
        assert np.isfinite(x).all()
        assert np.sqrt(np.mean(np.square(x))) > 10 ** (-45 / 20)


@pytest.mark.parametrize("seed", range(8))
def test_mix_never_clips_and_is_never_faint(seed):
    peak = np.abs(sum(synthesise(seed, 6.0).values())).max()
    assert 0.1 < peak < 1.0


def test_stems_sound_like_what_they_are_called():
    songs = [synthesise(seed, 8.0) for seed in range(20, 28)]
    centre = {name: np.median([spectrum_centre(s[name]) for s in songs if s[name].any()])
              for name in STEMS}  # fmt: skip
    assert centre["bass"] < 400 < centre["other"]
    assert centre["bass"] < centre["vocals"]


def test_stems_differ_from_each_other(song):
    flat = np.stack([x.ravel() for x in song.values()])
    likeness = np.abs(np.corrcoef(flat)) - np.eye(len(STEMS))
    assert likeness.max() < 0.3


def test_song_ends_in_silence(song):
    assert all(np.abs(x[:, -1]).max() == 0.0 for x in song.values())


def test_another_rate_keeps_the_length_in_seconds():
    assert synthesise(3, 2.0, sr=22050)["drums"].shape == (2, 44100)


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="at least one sample"):
        synthesise(0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_sections_cover_the_bars_in_order(seed):
    score = compose(np.random.default_rng(seed), 90.0)
    at = 0
    for section in score.sections:
        assert section.first_bar == at and section.bars == len(section.chords) > 0
        at += section.bars
    length = score.time(at, 0)
    assert 90.0 - score.span(score.steps) < length <= 90.0 + 1e-6
    assert [s.name for s in score.sections] == [name for name, _, _ in FORM]


def test_swing_delays_off_steps_alone():
    for seed in range(50):
        score = compose(np.random.default_rng(seed), 30.0)
        if score.swing:
            assert score.time(0, 1) > score.span(1)
            assert score.time(0, 2) == pytest.approx(score.span(2))
            return
    pytest.fail("no seed swings")
