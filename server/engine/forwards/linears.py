"""The transformer's linear layers, with what stands before and behind each: two backends.

Tokens are float32 (segments, tokens, channels) throughout. Only a layer's inner product is
reduced: what enters the residual stream is added to it in float32.
"""

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.int8 import Int8, quantised_weight
from kernels.spans import Spans


class LinearBackend(Protocol):
    """What the layers of a transformer ask for."""

    def prepare(self, layer: nn.Linear) -> nn.Module:
        """The layer as the other methods want it."""
        ...

    def after_norm(self, x: Tensor, eps: float, layer: Any) -> Tensor:
        """layer(norm(x)), for the attention."""
        ...

    def add(self, x: Tensor, heard: Tensor, layer: Any) -> Tensor:
        """x + layer(heard)."""
        ...

    def feed_forward(self, x: Tensor, eps: float, widen: Any, narrow: Any) -> Tensor:
        """x + narrow(GELU(widen(norm(x)))); may reuse x."""
        ...


class FloatBackend:
    """Inner products in a floating-point type, on any device."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def prepare(self, layer: nn.Linear) -> nn.Module:
        return layer.to(self._dtype)

    def after_norm(self, x: Tensor, eps: float, layer: Any) -> Tensor:
        made: Tensor = layer(F.layer_norm(x, x.shape[-1:], eps=eps).to(self._dtype))
        return made

    def add(self, x: Tensor, heard: Tensor, layer: Any) -> Tensor:
        return x + layer(heard)

    def feed_forward(self, x: Tensor, eps: float, widen: Any, narrow: Any) -> Tensor:
        return x.add_(narrow(F.gelu(self.after_norm(x, eps, widen))))


class Int8Linear(nn.Module):
    """A linear layer's weight as int8 (out, in), one scale for each output."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantised_weight(layer.weight.detach().contiguous().numpy())
        self.transposed = torch.from_numpy(weight).t()
        self.scale = scale
        self.bias = layer.bias.detach().numpy()


class Int8Backend:
    """Inner products of 8-bit integers on a CPU: each token and each output has its own scale."""

    def __init__(self, threads: int) -> None:
        self._passes = Int8(Spans(threads))

    def prepare(self, layer: nn.Linear) -> nn.Module:
        return Int8Linear(layer)

    def after_norm(self, x: Tensor, eps: float, layer: Int8Linear) -> Tensor:
        integers, rows = self._passes.norm_quantise(_rows(x), eps)
        made = self._passes.linear(_product(integers, layer), rows, layer.scale, layer.bias)
        return torch.from_numpy(made).view(*x.shape[:2], -1)

    def add(self, x: Tensor, heard: Tensor, layer: Int8Linear) -> Tensor:
        integers, rows = self._passes.quantise(_rows(heard))
        return self._added(x.clone(), integers, rows, layer)

    def feed_forward(self, x: Tensor, eps: float, widen: Any, narrow: Any) -> Tensor:
        integers, rows = self._passes.norm_quantise(_rows(x), eps)
        wide = self._passes.gelu_quantise(_product(integers, widen), rows, widen.scale, widen.bias)
        return self._added(x, *wide, narrow)

    def _added(
        self, x: Tensor, integers: np.ndarray, rows: np.ndarray, layer: Int8Linear
    ) -> Tensor:
        self._passes.add(_product(integers, layer), rows, layer.scale, layer.bias, _rows(x))
        return x


def _rows(x: Tensor) -> np.ndarray:
    return x.flatten(0, 1).numpy()


def _product(integers: np.ndarray, layer: Int8Linear) -> np.ndarray:
    made: np.ndarray = torch._int_mm(torch.from_numpy(integers), layer.transposed).numpy()
    return made
