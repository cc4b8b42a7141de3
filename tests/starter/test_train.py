"""Training: a step learns, a resumed run is the same run, and the bank is what it says."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from server.starter.bank import SR, draw_batch, open_bank
from server.starter.songs import synthesise
from server.starter.train import (
    RESOLUTIONS,
    Run,
    Trainer,
    build_model,
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
def bank(tmp_path_factory) -> np.ndarray:
    return open_bank(tmp_path_factory.mktemp("bank") / "two.f16", 2, 4.0, 40, 1)


def draw(bank: np.ndarray, seed: int, samples: int = 11025) -> torch.Tensor:
    return torch.from_numpy(draw_batch(bank, np.random.default_rng(seed), 2, samples))


def test_bank_holds_the_songs_of_its_seeds(bank):
    for row, seed in ((0, 40), (1, 41)):
        stems = np.stack(list(synthesise(seed, 4.0, SR).values()))
        assert np.abs(bank[row] - stems).max() < 1e-3


def test_batches_are_drawn_by_seed_and_vary(bank):
    assert torch.equal(draw(bank, 1), draw(bank, 1))
    assert not torch.equal(draw(bank, 1), draw(bank, 2))
    assert draw(bank, 1).shape == (2, 4, 2, 11025)


def test_steps_on_one_batch_lower_its_loss(bank):
    trainer, stems = tiny_trainer(steps=400, step=100, rate=1e-2), draw(bank, 1)
    losses = [trainer.learn(stems) for _ in range(20)]
    assert losses[18] < 0.75 * losses[0]


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


def test_magnitude_of_white_noise_keeps_its_level():
    noise = torch.randn(1, 65536, generator=torch.Generator().manual_seed(0))
    levels = [magnitude(noise, size).square().mean().item() for size in (512, 2048)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


def test_rate_warms_up_then_falls_to_a_hundredth():
    rates = [schedule(Run(steps=1000, step=step)) for step in (0, 49, 500, 1000)]
    assert rates[0] <= 0.02 and rates[1] > 0.95
    assert rates[1] > rates[2] > rates[3] == pytest.approx(0.01)
