"""Which files a song's way through a model writes, and what of the model's outputs is in each."""

from pathlib import Path
from typing import NamedTuple

from server.errors import ModelError
from server.presets.inferences import Inference, Signal, is_between
from server.stems import REST_OF_MIX, Recipe, mixed, stem_gains
from server.tracks import MIX
from server.work.messages import Options
from server.work.scratch import part_of

RESTS = ("other", REST_OF_MIX)  # what is in no other stem is in these: a constant offset, for one


class Target(NamedTuple):
    """A file that a separation writes.

    Attributes:
        path: where it appears when the separation is over.
        gains: of the model's outputs, and at last of its input: (outputs + 1,).
        stays: the share of the input that is there where the input is silent, since nothing is
            left of the outputs there.
        onto: a file, as long as the input, which this is added to.
        rests: the share of the input's offset that is there where the input is silent.
        counts: whether it is a track, whose highest sample somebody wants to know.
    """

    path: Path
    gains: list[float]
    stays: float = 0.0
    onto: Path | None = None
    counts: bool = True
    rests: float = 0.0


def signal_file(scratch: Path, name: str) -> Path:
    """Where a signal of a preset lies while its job runs: the mix in its place; all others as parts
    of a process, since an attempt that was given up may go on with its own. Those that are tracks
    grow where whoever listens looks for them."""
    path = scratch / f"{name}.f32"
    return path if name == MIX else part_of(path)


def stem_targets(scratch: Path, options: Options, recipe: Recipe) -> list[Target]:
    """All stems of a job, by the one model that makes them. Raises ModelError: it does not."""
    rows = stem_gains(options.stems, options.model, recipe)
    # What a stem is of the mix less others, it is of a mix in which there are none; but for the
    # vocals of a model that tells all else apart.
    made = any(recipe[rest][-1] == 0 for rest in RESTS if rest in recipe)
    stays = [float(stem == REST_OF_MIX or (row[-1] == 1 and not made))
             for stem, row in zip(options.stems, rows, strict=True)]  # fmt: skip
    return [Target(scratch / f"{stem}.f32", row, stay, rests=float(stem in RESTS and not stay))
            for stem, row, stay in zip(options.stems, rows, stays, strict=True)]  # fmt: skip


def signal_targets(scratch: Path, step: Inference, recipe: Recipe) -> list[Target]:
    """All that an inference of a preset writes. Raises ModelError: its model does not make it."""
    return [_target(scratch, step.model, signal, recipe) for signal in step.signals]


def _target(scratch: Path, model: str, signal: Signal, recipe: Recipe) -> Target:
    if missing := signal.of.keys() - recipe.keys():  # it was another when the job came
        raise ModelError(f"model {model} makes no {', '.join(sorted(missing))}")
    return Target(
        signal_file(scratch, signal.name), mixed({**signal.of, MIX: signal.of_input}, recipe),
        signal.of_input, signal_file(scratch, signal.onto) if signal.onto else None,
        not is_between(signal.name), sum(signal.of.get(stem, 0.0) for stem in RESTS),
    )  # fmt: skip
