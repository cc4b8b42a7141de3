"""Faster parts and half precision for networks that are not ours: their weights, our kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.planes import Planes
from kernels.spans import Spans
from server.engine.forwards.fast import Precision
from server.engine.forwards.packed import packed
from server.engine.forwards.rotary import (
    FeedForward,
    Layers,
    RotaryAttention,
    plain_attention,
    plain_feed_forward,
    plain_rotary,
)


class FusedAttention(nn.Module):
    """Attention (…, tokens, channels) by the fused kernel that torch has for the device.

    `scale`: of the products, channels ** -0.5 by default.
    """

    def __init__(self, scale: float | None) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, keys, values, scale=self._scale)


class Rotation(nn.Module):
    """Rotary positions (Su et al., 2021) of neighbouring pairs of channels, as one product of
    complex numbers; in float32 whatever the channels are in."""

    def __init__(self, frequencies: Tensor) -> None:
        super().__init__()
        self._frequencies: Tensor
        self.register_buffer("_frequencies", frequencies.detach().float(), persistent=False)
        self._turns: dict[tuple[int, torch.device], Tensor] = {}

    def rotate_queries_or_keys(self, x: Tensor) -> Tensor:
        """(…, tokens, channels), turned by each token's place."""
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        turned = pairs * self._turn(x.shape[-2], x.device)
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)

    def _turn(self, tokens: int, device: torch.device) -> Tensor:
        if (tokens, device) not in self._turns:
            angles = torch.arange(tokens, device=device)[:, None] * self._frequencies
            self._turns[tokens, device] = torch.polar(torch.ones_like(angles), angles)
        return self._turns[tokens, device]


class UnitNorm(nn.Module):
    """x / |x| * scale * gamma over the channels, in two passes over memory after the norm."""

    def __init__(self, scale: float, gamma: nn.Parameter) -> None:
        super().__init__()
        self._scale, self.gamma = scale, gamma

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x * (self._scale / norm.clamp_(min=1e-12))).mul_(self.gamma)


Swap = tuple[nn.Module, str, nn.Module]  # whose part, its name, and what it was
Faster = Callable[[str, Any], nn.Module | None]  # of a part and its name, what takes its place


def swap(network: nn.Module, faster: Faster) -> list[Swap]:
    """Puts faster parts in place of those that have one. Returns what `undo` needs; nothing where
    the network has none of them."""
    swaps: list[Swap] = []
    for name, part in list(network.named_children()):
        new = faster(name, part)
        if new is None:
            swaps += swap(part, faster)
        else:
            swaps.append((network, name, part))
            setattr(network, name, new)
    return swaps


def undo(swaps: Sequence[Swap]) -> None:
    """Puts back what `swap` took out."""
    for owner, name, part in swaps:
        setattr(owner, name, part)


def quicken(network: nn.Module, products: torch.dtype | None = None) -> list[Swap]:
    """Swaps the parts that RoFormers are made of for what any device has faster: attention, rotary
    positions, norms. With `products`, for a CPU, their whole layers, and layers of any network,
    with inner products of that type."""
    rotations: dict[int, Rotation] = {}
    if products is None:
        return swap(network, lambda name, part: _faster(name, part, rotations))
    spans = Spans(torch.get_num_threads())  # one for all layers: a network has many
    layers, planes = Layers(products, spans), Planes(spans)

    def faster(name: str, part: Any) -> nn.Module | None:
        if plain_attention(part):
            return RotaryAttention(part, layers)
        if plain_feed_forward(part):
            return FeedForward(part, layers)
        return packed(part, products, planes) or _faster(name, part, rotations)

    return swap(network, faster)


def allow_all_kernels(network: nn.Module) -> None:
    """Lets RoFormers' own attention take whatever kernel torch has. On some cards their packages
    allow none but flash kernels, which have no float32."""
    part: Any
    for part in network.modules():
        allowed: Any = getattr(part, "cuda_config", None)
        if type(part).__name__ == "Attend" and isinstance(allowed, tuple):
            kind: Any = type(allowed)  # a named tuple of what is allowed
            part.cuda_config = kind(*[True] * len(allowed))


def _faster(name: str, part: Any, rotations: dict[int, Rotation]) -> nn.Module | None:
    kind = type(part).__name__
    if name == "attend" and kind == "Attend":
        return FusedAttention(part.scale)
    if kind == "RMSNorm" and isinstance(getattr(part, "gamma", None), nn.Parameter):
        return UnitNorm(float(part.scale), part.gamma)
    if plain_rotary(part):
        return rotations.setdefault(id(part), Rotation(part.freqs))
    return None


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
