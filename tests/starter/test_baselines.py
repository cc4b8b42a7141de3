"""The rules of the splitter: each kind of sound lands where it should, and nothing is lost."""

import numpy as np
import pytest

from server.starter.measuring.baselines import (
    SHARED,
    SR,
    equal_shares,
    ideal_ratio_mask,
    split_by_hpss,
)
from server.starter.songs import STEMS

TIME = np.arange(3 * SR) / SR


def tone(hz: float, left: float = 1.0, right: float = 1.0) -> np.ndarray:
    return np.outer((left, right), 0.2 * np.sin(2 * np.pi * hz * TIME)).astype(np.float32)


def clicks() -> np.ndarray:
    x = np.zeros((2, 3 * SR), np.float32)
    x[:, 5000 :: SR // 3] = 0.9
    return x


@pytest.mark.parametrize(
    ("sound", "homes"),
    [(clicks(), ("drums",)), (tone(70), ("bass",)), (tone(900), ("vocals",)),
     (tone(900, 1, -1), SHARED), (tone(8000), SHARED)],
    ids=["clicks", "low", "middle", "sides", "high"],
)  # fmt: skip
def test_a_sound_lands_in_its_stem(sound, homes):
    guesses = split_by_hpss(sound)
    home = sum(guesses[name] for name in homes)
    assert np.square(home).sum() > 0.85 * np.square(sound).sum()


def test_the_guesses_are_all_stems_and_add_up_to_the_mix():
    mix = np.random.default_rng(0).uniform(-0.5, 0.5, (2, SR)).astype(np.float32)
    for guesses in (split_by_hpss(mix), equal_shares(mix, STEMS)):
        assert set(guesses) == set(STEMS)
        np.testing.assert_allclose(sum(guesses.values()), mix, atol=1e-5)


def test_shares_of_what_is_not_told_apart_are_equal():
    guesses = split_by_hpss(tone(900, 1, 0.2) + tone(60))
    np.testing.assert_array_equal(guesses["guitar"], guesses["piano"])
    np.testing.assert_array_equal(guesses["guitar"], guesses["other"])


def test_the_oracle_takes_apart_what_does_not_overlap_and_adds_up():
    stems = {"bass": tone(60), "vocals": tone(900), "drums": clicks()}
    guesses = ideal_ratio_mask(stems)
    np.testing.assert_allclose(sum(guesses.values()), sum(stems.values()), atol=1e-4)
    for name in ("bass", "vocals"):
        error = np.square(guesses[name] - stems[name]).sum() / np.square(stems[name]).sum()
        assert error < 0.02
