"""Attention and half precision for networks that are not ours: their modules, torch's kernels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from server.engine.fast import Precision


class FusedAttention(nn.Module):
    """Attention (…, tokens, channels) by the fused kernel that torch has for the device.

    `scale`: of the products, channels ** -0.5 by default.
    """

    def __init__(self, scale: float | None) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values, scale=self._scale)


def fuse_attention(network: nn.Module) -> int:
    """Puts fused attention in place of a network's modules called `attend`, which choose their
    kernels by a way that torch is about to give up; how many there were."""
    owners = [module for module in network.modules() if hasattr(module, "attend")]
    for owner in owners:
        known: Any = owner.attend
        owner.attend = FusedAttention(known.scale)
    return len(owners)


class Autocast(nn.Module):
    """A network in half precision wherever torch holds that to be safe."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.precision = Precision(dtype, dtype)

    def valid_length(self, length: int) -> int:
        """As the model's."""
        return int(self.model.valid_length(length))

    def forward(self, mix: Tensor) -> Tensor:
        with torch.autocast(mix.device.type, self.precision.convolutions):
            return self.model(mix).float()
