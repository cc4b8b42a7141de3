"""Reads one network from its file. A file comes from a stranger: it chooses among the kinds of
network that the families know, and brings numbers for one. Nothing that it names is imported or
run.
"""

import json
import pickle
import warnings
from collections.abc import Mapping
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from demucs.states import load_model
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from server.engine.families import NETWORKS
from server.engine.families.family import Blueprint
from server.errors import ModelError

WRAPPERS = ("state", "state_dict", "model_state_dict", "model")  # what they call their weights
BEGINNINGS = (b"PK", b"\x80")  # of a checkpoint: a zip archive, or older, a pickle
PREFIXES = ("module.", "_orig_mod.")  # of every name, where a network was trained on many cards


class _LeftOut:
    """What stands in for numpy's numbers, which training keeps beside the weights: it has nothing
    of them, so that numpy's own unpickling, which trusts its file, is not run either."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


LEFT_OUT: list[Any] = [(_LeftOut, name) for name in (
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
)]  # fmt: skip


def load_network(path: Path, allow_pickle: bool = False) -> Any:
    """A network from a `.safetensors` file, or an older, pickled one.

    Args:
        allow_pickle: unpickling may run any code that the file brings; whoever allows it trusts
            the file's maker.

    Raises:
        ModelError: a kind of network that is not known, or a pickled file that is not allowed.
        ValueError, TypeError, KeyError, RuntimeError, OSError: the file is damaged.
    """
    if path.suffix == ".safetensors":
        return load_safetensors(path)
    if not allow_pickle:
        raise ModelError(f"{path.name} is pickled, which may run code: "
                         "models.allow_pickle = true says that it is trusted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = torch.load(path, "cpu", weights_only=False)
    kind = package["klass"]
    _kind(f"{kind.__module__}.{kind.__qualname__}")
    return load_model(package)


def load_safetensors(path: Path) -> Any:
    """A network from a file in the format of demucs's hub: weights, and as its metadata the
    network's kind and arguments in JSON. Raises as `load_network`."""
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        if "structure" in metadata:
            raise ModelError(f"{path.name} holds quantised weights, which are not supported")
        kind = _kind(metadata["klass"])
        args, kwargs = _arguments(metadata)
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return load_model({"klass": kind, "args": args, "kwargs": kwargs, "state": state})


def build(plan: Blueprint, path: Path) -> Any:
    """A network of the convention, with the weights of `path`.

    Raises:
        ModelError: its package is not installed.
        ValueError, TypeError, AssertionError, RuntimeError, OSError: weights that do not fit it.
    """
    plan.check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages try their transforms without a window
        network = imported(plan.network)(*plan.args, **plan.kwargs)
    network.load_state_dict(load_state(path))
    return network


def load_state(path: Path) -> dict[str, Tensor]:
    """The weights in a `.safetensors` file, or in a checkpoint, of which numbers alone are read:
    what else it brings is not run, but refused.

    Raises:
        ValueError: a checkpoint that needs more than numbers, or holds no weights.
        RuntimeError, OSError: the file is damaged.
    """
    state = load_file(path) if path.suffix == ".safetensors" else _unwrapped(_checkpoint(path))
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path.name} holds no weights")
    weights = {str(name): value for name, value in state.items()}
    while prefix := next((prefix for prefix in PREFIXES if weights and all(
        name.startswith(prefix) for name in weights)), ""):  # fmt: skip
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _checkpoint(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(max(map(len, BEGINNINGS))).startswith(BEGINNINGS):
            raise ValueError(f"{path.name} is no checkpoint (a Git LFS pointer, or a page?)")
    try:
        with torch.serialization.safe_globals(LEFT_OUT):
            return torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path.name} holds more than numbers, which is not run") from None


def _unwrapped(state: Any) -> Any:
    """What lies in a checkpoint's wrappers, one in another: no more than there are, since one may
    lie in itself."""
    for _ in WRAPPERS:
        inner = state if isinstance(state, dict) else {}
        state = next((inner[name] for name in WRAPPERS if isinstance(inner.get(name), dict)), state)
    return state


def imported(name: str) -> Any:
    """A class by its full name, which must be one that a family names."""
    module, _, kind = name.rpartition(".")
    return getattr(import_module(module), kind)


def _kind(name: str) -> Any:
    if name not in NETWORKS:
        raise ModelError(f"{name!r:.80} is no kind of model that is known")
    return imported(name)


def _arguments(metadata: Mapping[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """What the network is called with."""
    try:
        args, kwargs = (json.loads(metadata[name]) for name in ("args", "kwargs"))
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ValueError("args and kwargs are a list and an object")
        return _with_fractions(args), _with_fractions(kwargs)
    except (RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"arguments make no sense: {error}") from None


def _with_fractions(value: Any) -> Any:
    """JSON's values, with the hub's form of a fraction as one."""
    if isinstance(value, list):
        return [_with_fractions(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return {key: _with_fractions(item) for key, item in value.items()}
