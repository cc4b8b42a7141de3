"""Trains the starter model on synthetic songs: python -m server.starter.train --out DIR.

Owns the model's sizes, the loss, and the schedule; a run that was cut off goes on by --resume.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from torch.nn.functional import l1_loss
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.starter.bank import SR, draw_batch, open_bank
from server.starter.songs import STEMS
from server.starter.store import save_bag, save_hub_model, write_whole

# Stride 8 in three layers where the full-size model has stride 4 in four: on a CPU, time goes
# by the first layer's positions, of which this leaves half, and allows more channels there.
SIZES = MappingProxyType(dict(
    channels=40, growth=2, depth=3, stride=8, kernel_size=16, dconv_depth=1, dconv_init=0.1,
    t_layers=3, t_heads=4, segment=Fraction(117, 20),
))  # fmt: skip
VALIDATION_SEED = 1_000_000  # songs from here on are for validation, from 2_000_000 for tests
RESOLUTIONS = (512, 2048)  # of the loss's spectra, taking turns by step
# up to this progress, excerpts are a segment divided by that: short ones give more steps early
PHASES = ((0.5, 3), (0.85, 2), (1.0, 1))


@dataclass
class Run:
    """One training run's settings and how far it has come. Budgets: steps if given, or seconds."""

    minutes: float = 60.0
    steps: int | None = None
    batch: int = 2
    rate: float = 2e-3
    seed: int = 0
    step: int = 0
    spent: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used up."""
        used = self.step / self.steps if self.steps else self.spent / (60.0 * self.minutes)
        return min(1.0, used)


class Trainer:
    """A model, its moving average and its optimiser, moved one batch at a time."""

    def __init__(self, model: HTDemucs, run: Run) -> None:
        self.model, self.run = model.train(), run
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=1e-4)
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def learn(self, stems: torch.Tensor) -> float:
        """One step on stems (batch, 4, 2, samples); the loss before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.run.rate * schedule(self.run)
        size = RESOLUTIONS[self.run.step % len(RESOLUTIONS)]
        loss = separation_loss(self.model(stems.sum(1)), stems, size)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.run.step += 1
        keep = min(0.995, 1.0 - 1.0 / (1.0 + 0.1 * self.run.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1.0 - keep)
        return float(loss.detach())

    def averaged(self) -> HTDemucs:
        """A copy of the model with the averaged weights and its full segment, to be used."""
        args, kwargs = cast(Any, self.model)._init_args_kwargs
        copy = HTDemucs(*args, **kwargs)
        copy.load_state_dict(self.average)
        return copy.eval()

    def save(self, path: Path) -> None:
        """Write all that `load` needs."""
        state = {"model": self.model.state_dict(), "average": self.average,
                 "optimiser": self.optimiser.state_dict(), "run": asdict(self.run)}  # fmt: skip
        write_whole(path, lambda part: torch.save(state, part))

    def load(self, path: Path) -> None:
        """Go on from a saved state; the budget stays this run's own."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("step", "spent", "curve"):
            setattr(self.run, name, state["run"][name])


def schedule(run: Run) -> float:
    """The learning rate's factor: a short warm-up, then half a cosine down to 1 %."""
    return min(1.0, (run.step + 1) / 50) * (0.505 + 0.495 * math.cos(math.pi * run.progress))


def separation_loss(guess: torch.Tensor, stems: torch.Tensor, size: int) -> torch.Tensor:
    """L1 of the waves plus L1 of their spectra's magnitudes, `size` samples a frame."""
    return l1_loss(guess, stems) + l1_loss(magnitude(guess, size), magnitude(stems, size))


def magnitude(x: torch.Tensor, size: int) -> torch.Tensor:
    """STFT magnitudes of (..., samples), scaled so that white noise keeps its level."""
    window = torch.hann_window(size)
    z = torch.stft(x.flatten(0, -2), size, size // 4, window=window, return_complex=True)
    return (z.real.square() + z.imag.square() + 1e-8).sqrt() / size**0.5


def build_model(**sizes: object) -> HTDemucs:
    """A fresh HTDemucs of SIZES, some of them replaced."""
    return HTDemucs(list(STEMS), samplerate=SR, **{**SIZES, **sizes})


def validate(trainer: Trainer, bank: np.ndarray) -> float:
    """Mean SDR in dB of the averaged weights over the middle of each of the bank's songs."""
    judge = trainer.averaged()
    length = int(judge.segment * SR)
    start = (bank.shape[3] - length) // 2
    scores = []
    for song in bank:
        stems = torch.from_numpy(song[..., start : start + length].astype(np.float32))
        with torch.no_grad():
            guess = judge(stems.sum(0)[None])[0]
        signal, noise = stems.square().sum((1, 2)), (stems - guess).square().sum((1, 2))
        heard = signal > 1e-3
        scores.append((10 * torch.log10(signal / noise)[heard]).mean())
    return float(torch.stack(scores).mean())


def draw_curve(run: Run, path: Path) -> None:
    """A picture of loss and validation SDR by step; nothing where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    steps, losses, scores = zip(*run.curve, strict=True)
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    left.plot(steps, losses, color="tab:gray")
    left.set(xlabel="step", ylabel="training loss")
    right = left.twinx()
    right.plot(steps, scores, color="tab:blue")
    right.set_ylabel("validation SDR, dB", color="tab:blue")
    figure.savefig(path)


def train(trainer: Trainer, banks: tuple[np.ndarray, np.ndarray], out: Path, every: float) -> None:
    """Run until the budget is used up; check and save each `every` seconds and at the end."""
    run = trainer.run
    whole = int(trainer.averaged().segment * SR)
    losses, mark = [], time.monotonic()
    saved = mark
    style = "training {percentage:3.1f}% |{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, initial=run.progress, miniters=0, bar_format=style) as bar:
        while run.progress < 1.0:
            rng = np.random.default_rng((run.seed, run.step))
            samples = whole // next(cut for until, cut in PHASES if run.progress < until)
            stems = torch.from_numpy(draw_batch(banks[0], rng, run.batch, samples))
            losses.append(trainer.learn(stems))
            now = time.monotonic()
            run.spent, mark = run.spent + now - mark, now
            bar.update(run.progress - bar.n)
            if now - saved > every or run.progress >= 1.0:
                run.curve.append((run.step, float(np.mean(losses)), validate(trainer, banks[1])))
                bar.write(f"step {run.step}: loss %.5f, SDR %.2f dB" % run.curve[-1][1:])
                keep(trainer, out)
                losses, saved = [], time.monotonic()


def keep(trainer: Trainer, out: Path) -> None:
    """Write the state, the averaged weights in the hub's format, and the curve."""
    trainer.save(out / "state.pt")
    save_hub_model(trainer.model, out, "starter", trainer.average)
    save_bag(out, "starter", ["starter"])
    draw_curve(trainer.run, out / "curve.png")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and state")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--songs", type=int, default=300, help="songs in the training bank")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    prepare_cpu(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(minutes=args.minutes, steps=args.steps, batch=args.batch, seed=args.seed)
    trainer = Trainer(build_model(), run)
    if args.resume and (args.out / "state.pt").exists():
        trainer.load(args.out / "state.pt")
    learn = open_bank(args.out / "train.f16", args.songs, 24.0, 0, args.threads)
    check = open_bank(args.out / "check.f16", 12, 24.0, VALIDATION_SEED, args.threads)
    train(trainer, (learn, check), args.out, every=300.0)


if __name__ == "__main__":
    main()
