"""Layers of any network on a CPU, by oneDNN: it multiplies float32 on any processor as fast as that
can, which torch's own linear layers do not, and shorter types where the processor has them.

Inner products are of `dtype`, their sums float32 whatever it is. What is packed can be neither
trained nor moved to another device: its weights are no parameters any more.
"""

from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kernels.planes import Planes

Activation = Literal["none", "gelu"]
FEWEST = 2**15  # weights of a layer that is worth it
SHORTER = (nn.Conv2d, nn.LSTM)


class PackedLinear(nn.Module):
    """activation(x @ weight.T + bias) of (…, in), answered in `dtype`."""

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


class NormGELU(nn.Module):
    """GELU of an instance norm over planes, float32."""

    def __init__(self, norm: nn.InstanceNorm2d, passes: Planes) -> None:
        super().__init__()
        self._passes, self._eps = passes, norm.eps
        self._weight, self._bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        planes = (part.flatten(0, 1).flatten(1).numpy() for part in (x, out))
        self._passes.norm_gelu(next(planes), self._weight, self._bias, self._eps, next(planes))
        return out


class Short(nn.Module):
    """A convolution or an LSTM in a shorter type, float32 in and out."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self._layer = deepcopy(layer).to(dtype)

    def forward(self, x: Tensor) -> Any:
        made = self._layer(x.to(self.dtype))
        return (made[0].float(), None) if isinstance(made, tuple) else made.float()


def packed(part: Any, dtype: torch.dtype, passes: Planes) -> nn.Module | None:
    """What takes the place of a layer of any network, if it is one of those that are worth it."""
    if type(part) is nn.Linear and part.weight.numel() >= FEWEST:
        # What makes masks of a network's channels loses most by rounding, and costs little.
        return PackedLinear(part.weight, part.bias, torch.float32)
    if type(part) in SHORTER and dtype != torch.float32 and _weights(part) >= FEWEST:
        return Short(part, dtype)
    if type(part) is nn.Sequential and any(_pair(*two) for two in _neighbours(part)):
        return _fused(part, dtype, passes)
    return None


def _weights(part: nn.Module) -> int:
    return sum(value.numel() for value in part.parameters())


def _fused(steps: nn.Sequential, dtype: torch.dtype, passes: Planes) -> nn.Sequential:
    """The same steps with each norm and GELU as one, and the others packed."""
    second = False
    made: list[nn.Module] = []
    for step, after in _neighbours(steps):
        if _pair(step, after):
            made.append(NormGELU(step, passes))
        elif not second:
            made.append(packed(step, dtype, passes) or step)
        second = _pair(step, after)
    return nn.Sequential(*made)


def _neighbours(steps: nn.Sequential) -> list[tuple[Any, Any]]:
    """Each with the one after it."""
    return list(zip(steps, [*list(steps)[1:], None], strict=True))


def _pair(norm: Any, activation: Any) -> bool:
    return (
        type(norm) is nn.InstanceNorm2d and norm.affine and not norm.track_running_stats
        and type(activation) is nn.GELU and activation.approximate == "none"
    )  # fmt: skip
