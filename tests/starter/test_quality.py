"""The measures, and the model that ships held to what its card says."""

import numpy as np
import pytest
from demucs.hf import load_safetensors_model

from server.starter.quality import (
    TEST_SEED,
    WEIGHTS,
    Score,
    mean_scores,
    measure,
    score_song,
    sdr,
    si_sdr,
    table,
)
from server.starter.songs import STEMS, synthesise

FLOOR_DB = 3.0  # mean SDR over two songs of 12 s; 3.8 was measured


def test_sdr_is_the_ratio_of_powers():
    s = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((2, 44100)).astype(np.float32)
    assert sdr(s, s + 0.1 * noise) == pytest.approx(20.0, abs=0.1)
    assert sdr(s, np.zeros_like(s)) == pytest.approx(0.0, abs=1e-6)
    assert 100 < sdr(s, s) < 200


def test_si_sdr_ignores_gain_and_sdr_does_not():
    s = np.random.default_rng(0).standard_normal((2, 44100)).astype(np.float32)
    guess = s + 0.1 * np.random.default_rng(1).standard_normal((2, 44100)).astype(np.float32)
    assert si_sdr(s, 0.5 * guess) == pytest.approx(si_sdr(s, guess), abs=1e-3)
    assert sdr(s, 0.5 * guess) < 7.0


def test_means_are_over_songs_then_over_stems():
    rows = [Score("drums", 1.0, 0.0, 0.0, 0.0), Score("drums", 3.0, 0.0, 0.0, 0.0),
            Score("vocals", 8.0, 0.0, 0.0, 0.0)]  # fmt: skip
    means = {row.stem: row.sdr for row in mean_scores(rows)}
    assert means == {"drums": 2.0, "vocals": 8.0, "mean": 5.0}
    assert len(table(rows).splitlines()) == 4


def test_a_silent_stem_is_not_scored():
    stems = synthesise(TEST_SEED, 3.0)
    stems["bass"] = np.zeros_like(stems["bass"])
    assert [s.stem for s in score_song(load_safetensors_model(WEIGHTS).eval(), stems)] == [
        "drums", "other", "vocals",
    ]  # fmt: skip


def test_shipped_weights_load_and_are_small():
    model = load_safetensors_model(WEIGHTS)
    assert model.sources == list(STEMS) and model.samplerate == 44100
    assert WEIGHTS.stat().st_size < 8_000_000
    assert WEIGHTS.with_name("starter.yaml").read_text().split() == ["models:", "-", "starter"]


def test_shipped_weights_separate_songs_they_never_heard():
    model = load_safetensors_model(WEIGHTS).eval()
    rows = mean_scores(measure(model, range(TEST_SEED, TEST_SEED + 2), 12.0))
    assert rows[-1].stem == "mean" and rows[-1].sdr > FLOOR_DB
    for row in rows:
        assert row.sdr > row.mix_sdr
