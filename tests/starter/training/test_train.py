"""Training: a step learns, a resumed run is the same run, and the bank is what it says."""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from server.engine.library.catalog import ModelFiles
from server.engine.loading import load_bag
from server.starter.songs import STEMS, synthesise
from server.starter.training import train as command
from server.starter.training.bank import SONG_SECONDS, SR, Bank, open_bank
from server.starter.training.examples import draw_batch
from server.starter.training.loss import Heard, heard
from server.starter.training.sizes import SIZES, build_model
from server.starter.training.train import (
    Run,
    Trainer,
    draw_parts,
    install,
    interruptible,
    latest,
    train,
    validate,
)

TINY = {"channels": 8, "blocks": 1, "dim": 16, "layers": 1, "segment": 1}


def tiny_trainer(out: Path = Path(), name: str = "starter", **settings) -> Trainer:
    """A trainer of a network small enough for a test, always from the same start."""
    torch.manual_seed(3)
    trainer = Trainer(name, build_model(**TINY), Run(**{"batch": 2, **settings}), out)
    trainer.bf16 = False
    return trainer


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Bank:
    return Bank(open_bank(tmp_path_factory.mktemp("bank") / "two.f16", 2, 7.0, 40, 1))


def draw(trainer: Trainer, bank: Bank, seed: int) -> Heard:
    stems = draw_batch([bank], STEMS, np.random.default_rng(seed), 2, 11025)
    return heard(trainer.model, stems, STEMS)


def learn(trainer: Trainer, bank: Bank, seeds) -> None:
    for seed in seeds:
        trainer.learn(draw(trainer, bank, seed))


def go_on(trainer: Trainer, bank: Bank, seconds: float = 1e-9, **more) -> None:
    """At least a step."""
    train([trainer], lambda: [bank], bank, seconds, **more)


def test_bank_holds_the_songs_of_its_seeds(bank):
    for row, seed in ((0, 40), (1, 41)):
        stems = np.stack(list(synthesise(seed, 7.0, SR).values()))
        assert np.abs(bank.songs[row].numpy() - stems).max() < 1e-3


def test_steps_on_one_batch_lower_its_loss(bank):
    trainer = tiny_trainer(step=200, rate=1e-2)
    examples = draw(trainer, bank, 1)
    for _ in range(30):
        trainer.learn(examples)
    losses = torch.stack(trainer.losses)
    assert losses[-4:].mean() < 0.8 * losses[:2].mean()


def test_resuming_is_the_same_as_never_stopping(bank, tmp_path):
    straight, first = tiny_trainer(), tiny_trainer()
    learn(straight, bank, range(6))
    learn(first, bank, range(3))
    first.save(tmp_path / "state.pt")
    second = Trainer("starter", build_model(**TINY), Run(rate=1e-3), tmp_path)
    second.bf16 = False
    second.load(tmp_path / "state.pt")
    assert second.run.step == 3
    learn(second, bank, range(3, 6))
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value)
        torch.testing.assert_close(second.average[name], straight.average[name])


def test_a_run_leaves_weights_that_the_engine_loads(bank, tmp_path):
    trainer = tiny_trainer(tmp_path)
    go_on(trainer, bank)
    assert trainer.run.step == 1 and len(trainer.run.curve) == 1
    assert trainer.run.spent > 0 and trainer.run.decayed == 0
    files = ModelFiles("starter", tmp_path, (tmp_path / "starter.safetensors",))
    (model,) = load_bag(files).models
    assert model.segment == 1 and model.sources == list(STEMS)
    name, value = next(iter(trainer.average.items()))
    assert torch.equal(model.state_dict()[name], value.half().float())


def test_what_was_trained_can_be_put_in_place(bank, tmp_path):
    trained, place = tmp_path / "out", tmp_path / "weights"
    trained.mkdir(), place.mkdir()
    go_on(tiny_trainer(trained), bank)
    install(trained, place, "starter")
    weights = "starter.safetensors"
    assert (place / weights).read_bytes() == (trained / weights).read_bytes()
    assert {path.name for path in place.iterdir()} == {weights}, "the listing stays"


def test_two_networks_learn_from_the_same_examples(bank, tmp_path):
    both = [tiny_trainer(tmp_path / name, name) for name in ("one", "two")]
    for trainer in both:
        trainer.out.mkdir()
    train(both, lambda: [bank], bank, 1e-9)
    one, two = ([*trainer.model.state_dict().values()] for trainer in both)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert (tmp_path / "two" / "two.safetensors").exists()
    assert (tmp_path / "one" / "state.pt").exists()


def test_examples_are_longer_and_fewer_in_the_decay(bank):
    trainer = tiny_trainer(batch=4)
    short = next(command.drawn(trainer, lambda: [bank])).features
    trainer.run.decay = 1.0
    long = next(command.drawn(trainer, lambda: [bank])).features
    assert len(short) == 4 and len(long) == 2
    assert 1.9 < long.shape[2] / short.shape[2] < 2.0


def test_examples_are_drawn_ahead_from_what_there_is_by_then(bank, monkeypatch):
    sizes = []
    monkeypatch.setattr(command, "draw_batch",
                        lambda banks, parts, rng, size, samples: sizes.append((len(banks), size))
                        or torch.ones(size, len(parts), 2, samples))  # fmt: skip
    banks = [bank]
    trainer = tiny_trainer(batch=2)
    examples = command.drawn(trainer, lambda: banks)
    for _ in range(command.AHEAD):
        next(examples)
    banks.append(bank)
    next(examples)
    assert sizes == [(1, 2 * command.AHEAD), (2, 2 * command.AHEAD)]


def test_average_follows_the_weights(bank):
    trainer = tiny_trainer()
    start = {k: v.clone() for k, v in trainer.average.items()}
    learn(trainer, bank, range(5))
    moved = [n for n in start if not torch.equal(start[n], trainer.average[n])]
    assert len(moved) > 0.9 * len(start) - 10
    assert any(not torch.equal(trainer.average[n], trainer.model.state_dict()[n]) for n in moved)


def test_rate_warms_up_stays_and_falls_only_in_the_decay():
    factors = [Run(step=step, spent=step).factor for step in (0, 49, 99, 1000, 10**6)]
    assert factors == [0.01, 0.5, 1.0, 1.0, 1.0]
    decay = [Run(step=500, decay=100.0, decayed=at).factor for at in (0.0, 25.0, 100.0, 101.0)]
    assert decay == [1.0, 0.75, 0.0, 0.0]


def test_a_decay_stands_beside_the_run_that_goes_on(bank, tmp_path):
    trainer = tiny_trainer(tmp_path)
    go_on(trainer, bank)
    before = (tmp_path / "state.pt").read_bytes()
    trainer.run.decay = 1e-9
    go_on(trainer, bank)
    assert trainer.run.decayed > 0
    assert (tmp_path / "state.pt").read_bytes() == before
    assert latest(tmp_path) == tmp_path / "decay.pt"
    os.utime(tmp_path / "state.pt")
    assert latest(tmp_path) == tmp_path / "state.pt", "a run that went on begins a new decay"
    assert latest(tmp_path / "nowhere") is None


def test_a_run_that_is_asked_to_end_is_saved(bank, tmp_path):
    trainer, handler = tiny_trainer(tmp_path), signal.getsignal(signal.SIGINT)
    with interruptible() as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        go_on(trainer, bank, 1e9, stopped=lambda: trainer.run.step == 2)
    assert trainer.run.step == 2 and (tmp_path / "state.pt").exists()
    assert signal.getsignal(signal.SIGINT) is handler


def test_validation_knows_a_stem_that_never_plays(bank):
    songs = bank.songs.clone()
    songs[:, :5] += 0.01
    songs[:, 5] = 0
    scores = validate(tiny_trainer(), Bank(songs))
    assert math.isnan(scores[5]) and np.isfinite(scores[:5]).all()


def test_accompaniments_get_a_singer_singers_an_accompaniment_and_bands_nothing():
    rng = np.random.default_rng(0)
    for parts, expected in ((STEMS, STEMS), (("instrumental",), ("instrumental", "vocals")),
                            (("vocals",), ("vocals", "instrumental")),
                            (("guitar", "backing"), ("guitar", "backing"))):  # fmt: skip
        assert draw_parts([Bank(torch.zeros(1), parts)], rng) == expected


def test_the_command_trains_decays_and_goes_on(tmp_path, monkeypatch):
    shape = (2, 6, 2, round(SONG_SECONDS * SR))
    songs = np.memmap(tmp_path / "songs.f16", np.float16, "w+", shape=shape)
    songs[:] = np.random.default_rng(0).normal(0, 0.1, (2, 6, 2, 1))
    songs.flush()
    monkeypatch.setattr(command, "prepare_cpu", lambda threads: None)  # it lasts
    monkeypatch.setattr(command, "build_model", lambda size: build_model(**TINY))
    place = tmp_path / "weights"
    place.mkdir()
    monkeypatch.setattr(command, "WEIGHTS", place)
    out, file = tmp_path / "out", str(tmp_path / "songs.f16")

    def run(*more: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["t", "--out", str(out), "--check", file, "--bank",
                                          f"{file}:2", "--batch", "1", *more])  # fmt: skip
        command.main()
        return torch.load(out / "state.pt", weights_only=True)["run"]

    first = run("--minutes", "1e-9", "--decay", "1e-9", "--install")
    assert first["step"] == 1 and first["decay"] == 0
    decayed = torch.load(out / "decay.pt", weights_only=True)["run"]
    assert decayed["step"] == 2
    weights = (place / "starter.safetensors").read_bytes()
    assert weights == (out / "starter.safetensors").read_bytes()
    assert run("--minutes", "1e-9")["step"] == 2, "the run goes on from before its decay"
    other = tmp_path / "other"
    monkeypatch.setattr(sys, "argv", ["t", "--out", str(other), "--check", file, "--bank", file,
                                      "--start", str(place / "starter.safetensors"),
                                      "--minutes", "1e-9", "--batch", "1"])  # fmt: skip
    command.main()
    assert (other / "state.pt").exists()


def test_a_bank_that_was_cut_off_is_finished_and_not_begun_again(tmp_path, bank):
    path = tmp_path / "two.f16"
    first = np.memmap(path.with_suffix(".part"), np.float16, "w+", shape=tuple(bank.songs.shape))
    first[0] = 0.5
    first.flush()
    path.with_suffix(".done").write_text("0\n")
    whole = open_bank(path, 2, 7.0, 40, 1)
    assert (whole[0] == 0.5).all() and torch.equal(whole[1], bank.songs[1])
    assert [left.name for left in tmp_path.iterdir()] == ["two.f16"]


@pytest.mark.parametrize("size", sorted(SIZES))
def test_no_size_is_over_twelve_million_parameters(size):
    assert sum(p.numel() for p in build_model(size).parameters()) <= 12e6


def test_stems_and_sums_can_be_emphasised():
    assert command.weight("guitar=2") == ("guitar", 2.0)
    assert command.weight("instrumental=0.5") == ("instrumental", 0.5)


@pytest.mark.parametrize("said", ["guitars=2", "guitar", "guitar=", "guitar=0", "guitar=-1",
                                  "guitar=much", "guitar=inf", "guitar=nan", "=2"])  # fmt: skip
def test_a_senseless_emphasis_is_refused(said):
    with pytest.raises(argparse.ArgumentTypeError):
        command.weight(said)
