"""Reads one network from its file. A file comes from a stranger: it chooses among the kinds of
network that are known here, and brings numbers for one. Nothing that it names is imported or run.
"""

import json
import warnings
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.states import load_model
from safetensors import safe_open

from server.engine.masknet import MaskNet
from server.errors import ModelError

KINDS: Mapping[str, type] = MappingProxyType(
    {f"{kind.__module__}.{kind.__qualname__}": kind
     for kind in (Demucs, HDemucs, HTDemucs, MaskNet)}
)


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


def _kind(name: str) -> type:
    if name not in KINDS:
        raise ModelError(f"{name!r:.80} is no kind of model that is known")
    return KINDS[name]


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
