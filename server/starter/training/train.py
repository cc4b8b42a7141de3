"""Trains a mask network on songs that the project makes:
python -m server.starter.training.train --out DIR.

Owns the schedule. The rate is constant for as long as one likes, whatever the budget; `--decay`
brings it to zero from wherever a run is, beside the run's own state, which can go on later.
"""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.engine.masknet import MaskNet
from server.engine.weights import load_safetensors
from server.starter.songs import STEMS
from server.starter.store import save_bag, save_hub_model, write_whole
from server.starter.training.bank import SONG_SECONDS, SR, Bank, load_bank, open_bank
from server.starter.training.examples import draw_batch, shares
from server.starter.training.loss import WHOLES, Heard, heard, spectral_loss, stems_of
from server.starter.training.sizes import SIZES, build_model

VALIDATION_SEED = 1_000_000  # songs from here on are for validation, from 2_000_000 for tests
WEIGHTS = Path(__file__).parents[1] / "weights"
CHECK_SONGS = 16
SHORT, LONG = 3.0, 6.0  # seconds of an excerpt: at the constant rate, and in the decay
AHEAD = 4  # steps whose examples are drawn at once


@dataclass
class Run:
    """One training run's settings and how far it has come.

    emphasis: the weights in the loss of stems and sums, by name, where others have 1;
    spent, decayed: seconds at the constant rate and in the decay; decay: how long that is.
    """

    batch: int = 4
    rate: float = 1e-3
    warmup: int = 100  # steps
    emphasis: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    step: int = 0
    spent: float = 0.0
    decay: float = 0.0
    decayed: float = 0.0
    curve: list[tuple[int, float, list[float]]] = field(default_factory=list)

    @property
    def factor(self) -> float:
        """Of the rate: a warm-up, then one; in the decay it falls to zero in a line."""
        left = 1.0 - self.decayed / self.decay if self.decay else 1.0
        return min(1.0, (self.step + 1) / self.warmup, max(0.0, left))

    def count(self, seconds: float) -> None:
        """Count time that was trained."""
        if self.decay:
            self.decayed += seconds
        else:
            self.spent += seconds


class Trainer:
    """A network, its moving average and its optimiser, moved one batch at a time."""

    def __init__(self, name: str, model: MaskNet, run: Run, out: Path) -> None:
        """name: of its weights' file in the folder `out`."""
        self.name, self.model, self.run, self.out = name, model.train(), run, out
        self.device = next(model.parameters()).device
        self.bf16 = self.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=1e-4,
                                           fused=self.device.type == "cuda")  # fmt: skip
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.losses: list[torch.Tensor] = []  # since the last check; on the device until then

    def learn(self, examples: Heard) -> None:
        """One step; the loss before it joins `losses`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.run.rate * self.run.factor
        loss = spectral_loss(self.model, examples, self.run.emphasis, self.bf16)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.run.step += 1
        self.losses.append(loss.detach())
        self.follow(min(0.999, (1 + self.run.step) / (10 + self.run.step)))

    @torch.no_grad()
    def follow(self, keep: float) -> None:
        """Move the average towards the weights."""
        floats = [(self.average[name], value) for name, value in self.model.state_dict().items()
                  if value.is_floating_point()]  # fmt: skip
        averages, values = zip(*floats, strict=True)
        torch._foreach_lerp_(averages, values, 1.0 - keep)

    def averaged(self) -> MaskNet:
        """A copy of the network with the averaged weights, to be used."""
        args, kwargs = cast(Any, self.model)._init_args_kwargs
        copy = MaskNet(*args, **kwargs)
        copy.load_state_dict(self.average)
        return copy.to(self.device).eval()

    def save(self, path: Path) -> None:
        """Write all that `load` needs."""
        state = {"model": self.model.state_dict(), "average": self.average,
                 "optimiser": self.optimiser.state_dict(), "run": asdict(self.run)}  # fmt: skip
        write_whole(path, lambda part: torch.save(state, part))

    def load(self, path: Path) -> None:
        """Go on from a saved state; the settings stay this run's own."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("step", "spent", "decay", "decayed", "curve"):
            setattr(self.run, name, state["run"][name])


def validate(trainer: Trainer, bank: Bank) -> list[float]:
    """SDR in dB of each source, by the averaged weights over two segments of each song."""
    judge = trainer.averaged()
    length = judge.valid_length(0)
    start = (bank.songs.shape[-1] - 2 * length) // 2
    scores: list[list[float]] = [[] for _ in judge.sources]
    for song in bank.songs:
        stems = song[..., start : start + 2 * length].to(trainer.device).float()
        with torch.no_grad():
            guess = torch.cat(list(judge(torch.stack(stems.sum(0).split(length, -1)))), -1)
        signal, noise = stems.square().sum((1, 2)), (stems - guess).square().sum((1, 2))
        for place, plays in enumerate(signal > 1e-3 * length / SR):
            if plays:
                scores[place].append(float(10 * torch.log10(signal[place] / noise[place])))
    return [float(np.mean(s)) if s else math.nan for s in scores]


def train(
    trainers: Sequence[Trainer], banks: Callable[[], Sequence[Bank]], check: Bank, seconds: float,
    every: float = 300.0, stopped: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Go on for `seconds`, at the constant rate or in the decay as the runs say; check and save
    each `every` seconds and at the end.

    Several networks learn from the same examples. banks: asked anew at each step, so that they
    may grow.
    """
    used = 0.0
    decaying = trainers[0].run.decay > 0.0
    mark = saved = time.monotonic()
    style = "{desc} {percentage:3.1f}% {elapsed}<{remaining}"
    with tqdm(total=seconds, desc="decay" if decaying else "training", bar_format=style,
              mininterval=10.0) as bar:  # fmt: skip
        examples_to_come = drawn(trainers[0], banks)
        while used < seconds and not stopped():
            examples = next(examples_to_come)
            for trainer in trainers:
                trainer.learn(examples)
            now = time.monotonic()
            passed, mark = now - mark, now
            used += passed
            for trainer in trainers:
                trainer.run.count(passed)
            bar.update(min(passed, seconds - bar.n))
            if now - saved > every or used >= seconds or stopped():
                for trainer in trainers:
                    keep(trainer, check)
                mark = saved = time.monotonic()  # what the check took is not counted


def drawn(trainer: Trainer, banks: Callable[[], Sequence[Bank]]) -> Iterator[Heard]:
    """The examples of a run's next steps: shorter at the constant rate, and the more of them."""
    run = trainer.run
    seconds = LONG if run.decay else SHORT
    size = max(1, round(run.batch * SHORT / seconds))
    while True:
        rng = np.random.default_rng((run.seed, run.step))
        parts = draw_parts(banks(), rng)
        stems = draw_batch(banks(), parts, rng, AHEAD * size, int(seconds * SR))
        for batch in stems.split(size):
            yield heard(trainer.model, batch, parts)


def draw_parts(banks: Sequence[Bank], rng: np.random.Generator) -> tuple[str, ...]:
    """Which parts the next examples have: those of some bank, and what they lack to be a mix."""
    parts = banks[int(rng.choice(len(banks), p=shares(banks)))].parts
    lacking = frozenset(STEMS).difference(*map(stems_of, parts))
    return (*parts, *(part for part in ("vocals", "instrumental") if stems_of(part) == lacking))


def keep(trainer: Trainer, check: Bank) -> None:
    """Check the run, write its state and the averaged weights in the hub's format."""
    run, name, out, scores = trainer.run, trainer.name, trainer.out, validate(trainer, check)
    loss = float(torch.stack(trainer.losses).mean()) if trainer.losses else math.nan
    trainer.losses.clear()
    run.curve.append((run.step, loss, scores))
    hours = (run.spent + run.decayed) / 3600
    each = " ".join(f"{s}={x:.2f}" for s, x in zip(trainer.model.sources, scores, strict=True))
    tqdm.write(f"{name}: step {run.step}, {hours:.2f} h: loss {loss:.4f}, "
               f"SDR {np.nanmean(scores):.2f} dB: {each}")  # fmt: skip
    trainer.save(out / ("decay.pt" if run.decay else "state.pt"))
    save_hub_model(trainer.model, out, name, trainer.average)
    save_bag(out, name, [name])


def latest(out: Path) -> Path | None:
    """Where a run goes on: at its constant rate, or in a decay that began after that."""
    found = [path for path in (out / "state.pt", out / "decay.pt") if path.exists()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Lets SIGTERM and Ctrl-C end a run after its step and save it, in place of killing it."""
    asked: list[int] = []
    before = {kind: signal.signal(kind, lambda number, _: asked.append(number))
              for kind in (signal.SIGTERM, signal.SIGINT)}  # fmt: skip
    try:
        yield lambda: bool(asked)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def install(trained: Path, place: Path, name: str) -> None:
    """Put a run's weights where they are used."""
    file = f"{name}.safetensors"
    write_whole(place / file, partial(shutil.copyfile, trained / file))


def weight(said: str) -> tuple[str, float]:
    """NAME=WEIGHT of the command line. Raises ArgumentTypeError, which argparse tells."""
    name, _, number = said.partition("=")
    if name not in (*STEMS, *WHOLES):
        known = ", ".join((*STEMS, *WHOLES))
        raise argparse.ArgumentTypeError(f"{said}: no stem of that name; there are {known}")
    try:
        found = float(number)
    except ValueError:
        found = math.nan
    if not 0.0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{said}: not a name, '=' and a positive number")
    return name, found


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.training.train",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and state")
    parser.add_argument("--minutes", type=float, default=60.0, help="at the constant rate, from "
                        "wherever the run is; 0 to decay at once")  # fmt: skip
    parser.add_argument("--decay", type=float, default=0.0, help="minutes of decay after that")
    parser.add_argument(
        "--bank",
        action="append",
        default=[],
        metavar="FILE[:SHARE]",
        help="made before, and how often it is drawn from; repeatable",
    )
    parser.add_argument("--check", type=Path, help="a bank to validate on")
    parser.add_argument("--songs", type=int, default=300, help="songs in the bank made if none is")
    parser.add_argument("--played", action="store_true", help="let SoundFonts and speech "
                        "synthesisers play parts of them")  # fmt: skip
    parser.add_argument("--name", default="starter", help="of the weights' file")
    parser.add_argument("--emphasis", type=weight, action="append", default=[],
                        metavar="NAME=WEIGHT", help="in the loss, of a stem, or of 'instrumental' "
                        "or 'backing', where others have 1; repeatable")  # fmt: skip
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--start", type=Path, help="weights to begin with, a .safetensors file")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--install", action="store_true",
                        help="put the result in place of the weights that ship")  # fmt: skip
    return parser.parse_args()


def opened(args: argparse.Namespace) -> tuple[list[Bank], Bank]:
    """The banks to learn from and the one to validate on, made where none is named."""
    make = partial(open_bank, seconds=SONG_SECONDS, workers=args.threads, played=args.played)
    if not args.bank:
        make(args.out / "train.f16", args.songs, first_seed=0)
    if not args.check:
        make(args.out / "check.f16", CHECK_SONGS, first_seed=VALIDATION_SEED)
    named = [bank.partition(":") for bank in args.bank] or [(args.out / "train.f16", "", "")]
    learn = [load_bank(Path(file), args.device, float(share or 1)) for file, _, share in named]
    return learn, load_bank(args.check or args.out / "check.f16")


def main() -> None:
    """The command."""
    args = options()
    prepare_cpu(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    banks, check = opened(args)
    model = build_model(args.size)
    if args.start:
        model.load_state_dict(load_safetensors(args.start).state_dict())
    run = Run(args.batch, args.rate, emphasis=dict(args.emphasis), seed=args.seed)
    trainer = Trainer(args.name, model.to(args.device), run, args.out)
    with interruptible() as stopped:
        go_on = partial(train, [trainer], lambda: banks, check, stopped=stopped)
        if (state := latest(args.out)) and (args.decay or state.name == "state.pt"):
            trainer.load(state)
        elif (args.out / "state.pt").exists():  # what a decay left behind
            trainer.load(args.out / "state.pt")
        if args.minutes and not run.decay:
            go_on(60.0 * args.minutes)
        if args.decay and not stopped():
            run.decay = run.decay or 60.0 * args.decay
            go_on(run.decay - run.decayed)
    if args.install:
        install(args.out, WEIGHTS, args.name)


if __name__ == "__main__":
    main()
