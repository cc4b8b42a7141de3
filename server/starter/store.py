"""Owns how a model is written in the format of Demucs' hub: one safetensors file and a yaml.

`demucs.hf.load_safetensors_model` reads the first, `demucs.hf.get_hf_model` both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file


def save_hub_model(
    model: Any,
    folder: Path,
    signature: str,
    state: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write `<folder>/<signature>.safetensors` in half precision and return its path.

    model: a torch module whose class keeps its arguments by `demucs.states.capture_init`, as
    all of Demucs' do. `state` replaces the model's own weights, say by their moving average.
    What half precision cannot hold stays as it is. Raises ValueError where a weight is not finite.
    """
    args, kwargs = model._init_args_kwargs
    tensors = {name: halved(name, t) for name, t in (state or model.state_dict()).items()}
    klass = type(model)
    metadata = {
        "klass": f"{klass.__module__}.{klass.__qualname__}",
        "args": json.dumps(args, default=encode_fraction),
        "kwargs": json.dumps(kwargs, default=encode_fraction),
    }
    path = folder / f"{signature}.safetensors"
    write_whole(path, lambda part: save_file(tensors, str(part), metadata))
    return path


def save_bag(
    folder: Path,
    name: str,
    signatures: Sequence[str],
    weights: Sequence[Sequence[float]] | None = None,
    segment: float | None = None,
    gains: Mapping[str, Sequence[float]] | None = None,
    wiener: object = None,
) -> Path:
    """Write `<folder>/<name>.yaml`, which lists the models that answer to `name`.

    weights: one row a model, one gain a stem; segment: seconds, overriding the models' own;
    gains: of each stem, over every source of every model, and over the mix; wiener: how much of
    a Wiener filter's answer stems take in, by name.
    """
    bag: dict[str, object] = {"models": list(signatures)}
    if weights is not None:
        bag["weights"] = [list(row) for row in weights]
    if segment is not None:
        bag["segment"] = segment
    if gains is not None:
        bag["gains"] = {stem: list(row) for stem, row in gains.items()}
    if wiener is not None:
        bag["wiener"] = wiener
    path = folder / f"{name}.yaml"
    write_whole(path, lambda part: part.write_text(yaml.safe_dump(bag, sort_keys=False)))
    return path


def halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A float tensor in half precision, if it fits, and other kinds as they are."""
    tensor = tensor.detach().cpu().contiguous().clone()
    if not tensor.is_floating_point():
        return tensor
    if not tensor.isfinite().all():
        raise ValueError(f"{name} is not finite")
    half = tensor.half()
    return half if half.isfinite().all() else tensor


def encode_fraction(value: object) -> dict[str, object]:
    """JSON for a Fraction, in the hub's spelling; TypeError for anything else."""
    if isinstance(value, Fraction):
        return {
            "_type": "fraction",
            "numerator": value.numerator,
            "denominator": value.denominator,
        }
    raise TypeError(f"a model argument of type {type(value).__name__} cannot be stored")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then move it to `path`: never half a file there."""
    part = path.with_name(f".{path.name}.part")
    write(part)
    part.chmod(0o644)  # safetensors makes its files readable by their owner alone
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
