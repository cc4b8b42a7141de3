"""Trains the starter model on songs that it makes: python -m server.starter.train --out DIR.

Owns the loss and the schedule. A run that was cut off goes on by --resume;
on a machine with a GPU, --size large trains the bigger model there.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs
from torch.nn.functional import l1_loss
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.starter.bank import SR, draw_batch, open_bank
from server.starter.sizes import SIZES, build_model, inherit
from server.starter.store import save_bag, save_hub_model, write_whole

VALIDATION_SEED = 1_000_000  # songs from here on are for validation, from 2_000_000 for tests
WEIGHTS = Path(__file__).parent / "weights"
SONG_SECONDS, CHECK_SONGS = 24.0, 16
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
    warmup: int = 50  # steps
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
        self.device = next(model.parameters()).device
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=1e-4)
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def learn(self, stems: torch.Tensor) -> float:
        """One step on stems (batch, sources, 2, samples); the loss before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.run.rate * schedule(self.run)
        size = RESOLUTIONS[self.run.step % len(RESOLUTIONS)]
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.model(stems.sum(1))
        loss = separation_loss(guess.float(), stems, size)
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
        return copy.to(self.device).eval()

    def save(self, path: Path) -> None:
        """Write all that `load` needs."""
        state = {"model": self.model.state_dict(), "average": self.average,
                 "optimiser": self.optimiser.state_dict(), "run": asdict(self.run)}  # fmt: skip
        write_whole(path, lambda part: torch.save(state, part))

    def load(self, path: Path) -> None:
        """Go on from a saved state; the budget stays this run's own."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("step", "spent", "curve"):
            setattr(self.run, name, state["run"][name])


def schedule(run: Run) -> float:
    """The learning rate's factor: a short warm-up, then half a cosine down to 1 %."""
    return min(1.0, (run.step + 1) / run.warmup) * (
        0.505 + 0.495 * math.cos(math.pi * run.progress)
    )


def separation_loss(guess: torch.Tensor, stems: torch.Tensor, size: int) -> torch.Tensor:
    """L1 of the waves plus L1 of their spectra's magnitudes, `size` samples a frame."""
    return l1_loss(guess, stems) + l1_loss(magnitude(guess, size), magnitude(stems, size))


def magnitude(x: torch.Tensor, size: int) -> torch.Tensor:
    """STFT magnitudes of (..., samples), scaled so that white noise keeps its level."""
    window = torch.hann_window(size, device=x.device)
    z = torch.stft(x.flatten(0, -2), size, size // 2, window=window, return_complex=True)
    return (z.real.square() + z.imag.square() + 1e-8).sqrt() / size**0.5


def validate(trainer: Trainer, bank: torch.Tensor) -> float:
    """Mean SDR in dB of the averaged weights over the middle of each of the bank's songs."""
    judge = trainer.averaged()
    length = int(judge.segment * SR)
    start = (bank.shape[3] - length) // 2
    scores: list[list[float]] = [[] for _ in judge.sources]
    for song in bank:
        stems = song[..., start : start + length].to(trainer.device).float()
        with torch.no_grad():
            guess = judge(stems.sum(0)[None])[0]
        signal, noise = stems.square().sum((1, 2)), (stems - guess).square().sum((1, 2))
        for stem, own in enumerate(signal > 1e-3 * length / SR):
            if own:
                scores[stem].append(float(10 * torch.log10(signal[stem] / noise[stem])))
    return float(np.mean([np.mean(s) for s in scores if s]))


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


def train(
    trainer: Trainer, banks: tuple[torch.Tensor, torch.Tensor], out: Path, every: float
) -> None:
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
            losses.append(trainer.learn(draw_batch(banks[0], rng, run.batch, samples)))
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


def install(trained: Path, place: Path) -> None:
    """Put a run's weights and listing where they are used."""
    for name in ("starter.safetensors", "starter.yaml"):
        write_whole(place / name, partial(shutil.copyfile, trained / name))


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and state")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--songs", type=int, default=300, help="songs in the training bank")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--start", type=Path, help="weights to begin with, a .safetensors file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--played",
        action="store_true",
        help="let SoundFonts and speech synthesisers play parts of the songs",
    )
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--install", action="store_true",
                        help="put the result in place of the weights that ship")
    return parser.parse_args()  # fmt: skip


def main() -> None:
    """The command."""
    args = options()
    prepare_cpu(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    bank = partial(open_bank, seconds=SONG_SECONDS, workers=args.threads, played=args.played)
    learn = bank(args.out / "train.f16", args.songs, first_seed=0).to(args.device)
    check = bank(args.out / "check.f16", CHECK_SONGS, first_seed=VALIDATION_SEED)
    model = build_model(args.size)
    if args.start:
        inherit(model, cast(HTDemucs, load_safetensors_model(args.start)))
    run = Run(args.minutes, args.steps, args.batch, args.rate, seed=args.seed)
    trainer = Trainer(model.to(args.device), run)
    if args.resume and (args.out / "state.pt").exists():
        trainer.load(args.out / "state.pt")
    train(trainer, (learn, check), args.out, every=300.0)
    if args.install:
        install(args.out, WEIGHTS)


if __name__ == "__main__":
    main()
