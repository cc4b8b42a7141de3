"""Gains: least squares that add up to the mix, and a specialist that can run alone."""

import sys

import numpy as np
import pytest
import torch
import yaml

from server.starter.songs import STEMS
from server.starter.store import save_bag, save_hub_model
from server.starter.training import gains
from server.starter.training.bank import SONG_SECONDS, SR
from server.starter.training.gains import allowed_columns, fit_gains, rounded
from server.starter.training.sizes import build_model

MIX = np.eye(7)[-1]


def songs(blur: float, count: int = 4):
    """Six noises, and six outputs of which each has some of every other."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        truth = rng.normal(size=(6, 4000)) * rng.uniform(0.5, 2.0, (6, 1))
        mix = truth.sum(0)
        made = (1 - blur) * truth + blur * mix / 6 + 0.2 * rng.normal(size=truth.shape)
        yield truth, np.concatenate((made, mix[None]))


def error(matrix: np.ndarray) -> np.ndarray:
    """Mean squared error of each stem."""
    found = [np.square(truth - matrix @ made).mean(1) for truth, made in songs(0.5)]
    return np.mean(found, axis=0)


def test_stems_add_up_to_the_mix_and_are_better_than_the_outputs():
    matrix = fit_gains(songs(0.5), np.ones((6, 7), bool))
    np.testing.assert_allclose(matrix.sum(0), MIX, atol=1e-9)
    assert (error(matrix) < 0.7 * error(np.eye(6, 7))).all()


def test_nothing_that_adds_up_to_the_mix_is_better():
    """Any small step within the constraint makes the weighted error worse."""
    cost = lambda m: sum(  # noqa: E731
        (np.square(truth - m @ made).sum(1) / (np.square(truth).sum(1)
         + 0.1 * np.square(made[-1]).sum())).sum() for truth, made in songs(0.5)
    )  # fmt: skip
    matrix, rng = fit_gains(songs(0.5), np.ones((6, 7), bool)), np.random.default_rng(2)
    for _ in range(20):
        step = rng.normal(size=(6, 7))
        assert cost(matrix + 0.02 * (step - step.mean(0))) > cost(matrix)


def test_outputs_that_are_not_independent_are_no_trouble():
    def twice():
        for truth, made in songs(0.3):
            yield truth, np.concatenate((made[:6], made))

    matrix = fit_gains(twice(), np.ones((6, 13), bool))
    assert np.abs(matrix).max() < 2.0
    np.testing.assert_allclose(matrix.sum(0), np.eye(13)[-1], atol=1e-9)


def test_a_specialist_makes_its_stem_alone_and_the_others_share_out_the_rest():
    allowed = allowed_columns([4, 2], STEMS, vocals_by=1)
    assert allowed[3].tolist() == [False] * 4 + [True] * 3
    assert allowed[[0, 1, 2, 4, 5]].all()
    assert allowed_columns([6], STEMS, None).all()
    matrix = fit_gains(songs(0.5), allowed)
    assert not matrix[3, :4].any() and matrix[3, 4:].any()
    np.testing.assert_allclose(matrix.sum(0), MIX, atol=1e-9)
    alone = fit_gains(((truth, made[4:]) for truth, made in songs(0.5)), np.ones((6, 3), bool))
    np.testing.assert_allclose(matrix[3, 4:], alone[3], rtol=1e-3)


def test_rounding_keeps_the_sum():
    short = rounded(fit_gains(songs(0.5), np.ones((6, 7), bool)))
    assert (short.round(4) == short).all()
    np.testing.assert_allclose(short.sum(0), MIX, atol=1e-12)


def test_the_command_writes_them_into_the_listing(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    model = build_model(channels=8, blocks=1, dim=16, layers=1, segment=1)
    for name in ("a", "b"):
        save_hub_model(model, tmp_path, name)
    save_bag(tmp_path, "m", ["a", "b"])
    shape = (2, 6, 2, int(SONG_SECONDS * SR))
    bank = np.memmap(tmp_path / "songs.f16", np.float16, "w+", shape=shape)
    bank[0] = np.random.default_rng(0).normal(0, 0.1, shape[1:])  # the second is silent
    bank.flush()
    monkeypatch.setattr(gains, "prepare_cpu", lambda threads: None)  # it lasts
    command = ["g", str(tmp_path / "m.yaml"), "--bank", str(tmp_path / "songs.f16"),
               "--vocals-by", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    gains.main()
    listing = yaml.safe_load((tmp_path / "m.yaml").read_text())
    assert listing["models"] == ["a", "b"] and list(listing["gains"]) == list(STEMS)
    assert listing["gains"]["vocals"][:6] == [0.0] * 6
    np.testing.assert_allclose(np.sum(list(listing["gains"].values()), axis=0), np.eye(13)[-1],
                               atol=1e-9)  # fmt: skip
    assert "gains" in capsys.readouterr().out


def test_a_listing_without_its_weights_is_refused(tmp_path, monkeypatch, capsys):
    save_bag(tmp_path, "m", ["gone"])
    (tmp_path / "songs.f16").write_bytes(bytes(6 * 2 * 2 * int(SONG_SECONDS * SR)))
    monkeypatch.setattr(gains, "prepare_cpu", lambda threads: None)
    command = ["g", str(tmp_path / "m.yaml"), "--bank", str(tmp_path / "songs.f16")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        gains.main()
    assert "not a model's listing" in capsys.readouterr().err
