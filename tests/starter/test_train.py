"""Training: a step learns, a resumed run is the same run, and the bank is what it says."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs

from server.engine.catalog import ModelFiles
from server.engine.models import load_bag
from server.starter.bank import SR, draw_batch, open_bank
from server.starter.sizes import SIZES, build_model, inherit
from server.starter.songs import STEMS, synthesise
from server.starter.train import (
    RESOLUTIONS,
    Run,
    Trainer,
    install,
    magnitude,
    schedule,
    separation_loss,
    train,
)

TINY = {"channels": 8, "t_layers": 1, "t_heads": 2, "segment": Fraction(1, 2)}


def tiny_trainer(**settings) -> Trainer:
    """A trainer of a model small enough for a test, always from the same start."""
    torch.manual_seed(3)
    return Trainer(build_model(**TINY), Run(**settings))


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> torch.Tensor:
    return open_bank(tmp_path_factory.mktemp("bank") / "two.f16", 2, 4.0, 40, 1)


def draw(bank: torch.Tensor, seed: int, samples: int = 11025) -> torch.Tensor:
    return draw_batch(bank, np.random.default_rng(seed), 2, samples)


def test_bank_holds_the_songs_of_its_seeds(bank):
    for row, seed in ((0, 40), (1, 41)):
        stems = np.stack(list(synthesise(seed, 4.0, SR).values()))
        assert np.abs(bank[row].numpy() - stems).max() < 1e-3


def test_batches_are_drawn_by_seed_and_vary(bank):
    assert torch.equal(draw(bank, 1), draw(bank, 1))
    assert not torch.equal(draw(bank, 1), draw(bank, 2))
    assert draw(bank, 1).shape == (2, len(STEMS), 2, 11025)


def test_steps_on_one_batch_lower_its_loss(bank):
    trainer, stems = tiny_trainer(steps=400, step=100, rate=1e-2), draw(bank, 1)
    losses = [trainer.learn(stems) for _ in range(40)]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])


def test_resuming_is_the_same_as_never_stopping(bank, tmp_path):
    straight = tiny_trainer(steps=6)
    for seed in range(6):
        straight.learn(draw(bank, seed))
    first = tiny_trainer(steps=6)
    for seed in range(3):
        first.learn(draw(bank, seed))
    first.save(tmp_path / "state.pt")
    second = Trainer(build_model(**TINY), Run(steps=6))
    second.load(tmp_path / "state.pt")
    assert second.run.step == 3
    for seed in range(3, 6):
        second.learn(draw(bank, seed))
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value)
        torch.testing.assert_close(second.average[name], straight.average[name])


def test_a_run_leaves_weights_that_demucs_loads(bank, tmp_path):
    from demucs.hf import load_safetensors_model

    trainer = tiny_trainer(steps=3)
    train(trainer, (bank, bank), tmp_path, every=1e9)
    assert trainer.run.step == 3 and len(trainer.run.curve) == 1
    model = load_safetensors_model(tmp_path / "starter.safetensors")
    assert model.segment == Fraction(1, 2)
    name, value = next(iter(trainer.average.items()))
    assert torch.equal(model.state_dict()[name], value.half().float())


def test_what_was_trained_can_be_put_in_place(bank, tmp_path):
    trained, place = tmp_path / "out", tmp_path / "weights"
    trained.mkdir(), place.mkdir()
    train(tiny_trainer(steps=1), (bank, bank), trained, every=1e9)
    install(trained, place)
    assert load_bag(ModelFiles("starter", place, (place / "starter.safetensors",))).sources
    assert {path.name for path in place.iterdir()} == {"starter.safetensors", "starter.yaml"}


def test_average_follows_the_weights(bank):
    trainer = tiny_trainer(steps=10)
    start = {k: v.clone() for k, v in trainer.average.items()}
    for seed in range(5):
        trainer.learn(draw(bank, seed))
    moved = [n for n in start if not torch.equal(start[n], trainer.average[n])]
    assert len(moved) > 0.9 * len(start)
    assert any(not torch.equal(trainer.average[n], trainer.model.state_dict()[n]) for n in moved)


@pytest.mark.parametrize("size", RESOLUTIONS)
def test_loss_is_zero_only_for_the_truth(bank, size):
    stems = draw(bank, 5)
    assert separation_loss(stems, stems, size) == 0.0
    near, far = (separation_loss(guess, stems, size) for guess in (0.9 * stems, stems.flip(1)))
    assert far > near > 0.0


def test_a_bank_that_was_cut_off_is_finished_and_not_begun_again(tmp_path, bank):
    path = tmp_path / "two.f16"
    first = np.memmap(path.with_suffix(".part"), np.float16, "w+", shape=tuple(bank.shape))
    first[0] = 0.5
    first.flush()
    path.with_suffix(".done").write_text("0\n")
    whole = open_bank(path, 2, 4.0, 40, 1)
    assert (whole[0] == 0.5).all() and torch.equal(whole[1], bank[1])
    assert [left.name for left in tmp_path.iterdir()] == ["two.f16"]


def test_six_sources_begin_as_what_four_have_learnt():
    torch.manual_seed(5)
    donor = HTDemucs(["drums", "bass", "other", "vocals"], **{**SIZES["small"], **TINY}).eval()
    heir = build_model(**TINY).eval()
    inherit(heir, donor)
    mix = torch.randn(1, 2, 22050)
    with torch.no_grad():
        old, new = donor(mix)[0], heir(mix)[0]
    torch.testing.assert_close(new[[0, 1, 3]], old[[0, 1, 3]], atol=1e-4, rtol=1e-4)
    error = new[[2, 4, 5]].sum(0) - old[2]
    assert (error - error.mean(-1, keepdim=True)).abs().max() < 1e-4  # the mean comes thrice
    torch.testing.assert_close(new[4], new[5])


def test_another_size_cannot_be_inherited():
    with pytest.raises(RuntimeError, match="size mismatch"):
        inherit(build_model(**{**TINY, "channels": 16}), build_model(**TINY))


@pytest.mark.parametrize("size", sorted(SIZES))
def test_no_size_is_over_twelve_million_parameters(size):
    assert sum(p.numel() for p in build_model(size).parameters()) <= 12e6


def test_magnitude_of_white_noise_keeps_its_level():
    noise = torch.randn(1, 65536, generator=torch.Generator().manual_seed(0))
    levels = [magnitude(noise, size).square().mean().item() for size in (512, 2048)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


def test_rate_warms_up_then_falls_to_a_hundredth():
    rates = [schedule(Run(steps=1000, step=step)) for step in (0, 49, 500, 1000)]
    assert rates[0] <= 0.02 and rates[1] > 0.95
    assert rates[1] > rates[2] > rates[3] == pytest.approx(0.01)
