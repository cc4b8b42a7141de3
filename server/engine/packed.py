"""Linear layers on a CPU by oneDNN, their weights lying in memory as it multiplies them fastest."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

Activation = Literal["none", "gelu", "tanh"]


class PackedLinear(nn.Module):
    """activation(x @ weight.T + bias) of (…, in), computed and answered in `dtype`; sums are
    float32 whatever it is.

    Not for training, nor for another device: the weight is no parameter any more.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype,
        activation: Activation = "none",
    ) -> None:  # fmt: skip
        super().__init__()
        self.dtype, self._activation = dtype, activation
        plain = weight.detach().to(dtype).contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(plain, None)
        self._bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype).contiguous(), self._weight, self._bias, self._activation, [], "none"
        )
        return made


class Wide(PackedLinear):
    """One that answers in float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


def packed(layer: nn.Linear, dtype: torch.dtype) -> PackedLinear:
    """A layer in place of another."""
    return Wide(layer.weight, layer.bias, dtype)


def plain(layer: Any) -> bool:
    """Whether it is a linear layer big enough to be worth it."""
    return type(layer) is nn.Linear and layer.weight.numel() >= 2**15
