"""A transformer's layers with rotary positions, on a CPU: the attention and the feed-forward of a
RoFormer, as few passes over memory as there can be. Norms, turns and gates are computed in
float32, whatever type the products between them have.
"""

from inspect import signature
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.spans import Spans
from kernels.tokens import Tokens
from server.engine.forwards.packed import PackedLinear

TILE = 1024  # rows whose widened channels stay in a cache


class Layers:
    """Makes the layers, of one type of products, and shares what they have in common."""

    def __init__(self, dtype: torch.dtype, spans: Spans) -> None:
        self.dtype = dtype
        self.passes = Tokens(spans)
        self._angles: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def unit(self, x: Tensor) -> Tensor:
        """x / |x| of (rows, channels), in the type of the products."""
        out = torch.empty(x.shape, dtype=self.dtype)
        self.passes.unit(x.float().numpy(), numbers(out))
        return out

    def angles(self, rotary: Any, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines of each token's turns: (tokens, pairs) each."""
        key = id(rotary), tokens
        if key not in self._angles:
            turns = torch.arange(tokens)[:, None] * rotary.freqs.detach().float()
            self._angles[key] = turns.cos().numpy(), turns.sin().numpy()
        return self._angles[key]


def numbers(x: Tensor) -> np.ndarray:
    """What the passes work on: bfloat16 as the integers that hold its bits."""
    return x.numpy() if x.dtype == torch.float32 else x.view(torch.uint16).numpy()


class RotaryAttention(nn.Module):
    """Norm, attention with rotary positions, gates and what makes channels of the heads."""

    def __init__(self, part: Any, layers: Layers) -> None:
        super().__init__()
        self._layers, self._heads, self._rotary = layers, part.heads, part.rotary_embed
        self._scale = part.attend.scale
        self._pair = "value_residual" in signature(part.forward).parameters
        gain = part.norm.scale * part.norm.gamma.detach()
        asked = part.to_qkv.weight.detach().unflatten(0, (3, self._heads, -1))
        queries, keys, values = asked
        weight = torch.cat([_halves(queries), _halves(keys), values.flatten(0, 1),
                            part.to_gates.weight.detach()])  # fmt: skip
        bias = F.pad(part.to_gates.bias.detach(), (len(weight) - self._heads, 0))
        self.asked = PackedLinear(weight * gain, bias, layers.dtype)
        self.out = PackedLinear(part.to_out[0].weight, None, layers.dtype)
        self._inner = values.shape[0] * values.shape[1]

    def forward(self, x: Tensor, value_residual: None = None) -> Any:
        """float32 (sequences, tokens, channels); what enters the residual stream."""
        sequences, tokens, width = x.shape
        passes = self._layers.passes
        asked = self.asked(self._layers.unit(x.reshape(-1, width)))
        cosine, sine = self._layers.angles(self._rotary, tokens)
        passes.turn(numbers(asked), 2 * self._heads, cosine, sine)
        runs = asked[:, : 3 * self._inner].unflatten(1, (3, self._heads, -1))
        q, k, v = runs.unflatten(0, (sequences, tokens)).permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(q, k, v, scale=self._scale).transpose(1, 2)
        heard = heard.reshape(-1, self._inner)
        passes.gate(numbers(heard), numbers(asked)[:, 3 * self._inner :])
        made = self.out(heard).view(x.shape)
        return (made, None) if self._pair else made


class FeedForward(nn.Module):
    """Norm, wider channels, GELU and back."""

    def __init__(self, part: Any, layers: Layers) -> None:
        super().__init__()
        norm, widen, _, _, narrow, _ = part.net
        self._layers = layers
        gain = norm.scale * norm.gamma.detach()
        self.widen = PackedLinear(widen.weight.detach() * gain, widen.bias, layers.dtype, "gelu")
        self.narrow = PackedLinear(narrow.weight, narrow.bias, layers.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """float32 (…, channels); what enters the residual stream."""
        rows = x.reshape(-1, x.shape[-1])
        made = [self.narrow(self.widen(self._layers.unit(part))) for part in rows.split(TILE)]
        return torch.cat(made).view(x.shape)


def _halves(weight: Tensor) -> Tensor:
    """(heads, channels, in) to (heads * channels, in): of each head the first of each pair of
    channels, then the second of each. Products of queries and keys do not depend on the order."""
    return weight.unflatten(1, (-1, 2)).transpose(1, 2).flatten(0, 2)


def plain_attention(part: Any) -> bool:
    """Whether it is an attention of just the parts that RoFormers have."""
    rotary = getattr(part, "rotary_embed", None)
    return (
        type(part).__name__ == "Attention" and rotary is not None and plain_rotary(rotary)
        and type(part.attend).__name__ == "Attend" and _plain_norm(part.norm)
        and _linears(part, to_qkv=False, to_gates=True)
        and type(part.to_out) is nn.Sequential
        and [type(step) for step in part.to_out] == [nn.Linear, nn.Dropout]
        and part.to_out[0].bias is None
        and getattr(part, "to_value_residual_mix", None) is None
        and getattr(part, "pope_embed", None) is None
        and part.to_qkv.out_features == 6 * part.heads * len(rotary.freqs)
    )  # fmt: skip


def plain_rotary(part: Any) -> bool:
    """Whether it turns whole heads, pair by neighbouring pair, each token by its number."""
    return type(part).__name__ == "RotaryEmbedding" and not part.use_xpos and \
        part.interpolate_factor == 1 and part.freqs.ndim == 1 and \
        not part.seq_before_head_dim  # fmt: skip


def plain_feed_forward(part: Any) -> bool:
    """Whether it is a feed-forward of just the parts that RoFormers have."""
    if (
        type(part).__name__ != "FeedForward"
        or type(getattr(part, "net", None)) is not nn.Sequential
    ):
        return False
    kinds = [type(step) for step in part.net]
    return (
        kinds[1:] == [nn.Linear, nn.GELU, nn.Dropout, nn.Linear, nn.Dropout]
        and _plain_norm(part.net[0])
        and part.net[2].approximate == "none"
    )


def _plain_norm(part: Any) -> bool:
    return type(part).__name__ == "RMSNorm" and isinstance(
        getattr(part, "gamma", None), nn.Parameter
    )


def _linears(part: Any, **biased: bool) -> bool:
    layers = {name: getattr(part, name, None) for name in biased}
    return all(
        type(layer) is nn.Linear and (layer.bias is not None) == biased[name]
        for name, layer in layers.items()
    )
