"""The cross-domain transformer of HTDemucs, with everything linear folded together."""

from typing import Any

import torch
import torch.nn.functional as F
from demucs.transformer import (
    CrossTransformerEncoderLayer,
    create_2d_sin_embedding,
    create_sin_embedding,
)
from torch import Tensor, nn

from server.engine.forwards.linears import LinearBackend
from server.engine.forwards.passes import normed


def plain(transformer: Any) -> bool:
    """Whether it has just the parts that htdemucs and its kin have."""
    layers = [*transformer.layers, *transformer.layers_t]
    return (
        transformer.emb == "sin" and transformer.sin_random_shift == 0
        and isinstance(transformer.norm_in, nn.LayerNorm)
        and all(
            not layer.sparse and layer.norm_first and layer.norm_out is not None
            and layer.norm_out.num_groups == 1 and isinstance(layer.norm1, nn.LayerNorm)
            and layer.activation is F.gelu for layer in layers
        )
    )  # fmt: skip


class Transformer(nn.Module):
    """Both branches' tokens, float32 (segments, tokens, channels) each, through all layers.

    The tokens and their norms stay in float32; `backend` is for what happens in between.
    """

    def __init__(self, transformer: Any, backend: LinearBackend) -> None:
        super().__init__()
        self._period = transformer.max_period
        self._weight = transformer.weight_pos_embed
        self.norm_in: nn.LayerNorm = transformer.norm_in
        self.norm_in_t: nn.LayerNorm = transformer.norm_in_t
        self.layers = nn.ModuleList(_layer(layer, backend) for layer in transformer.layers)
        self.layers_t = nn.ModuleList(_layer(layer, backend) for layer in transformer.layers_t)

    def embed(self, bands: int, frames: int, samples: int) -> None:
        """Keeps the positions of this many tokens: bands times frames, and samples."""
        like = self.norm_in.weight
        channels = len(like)
        grid = create_2d_sin_embedding(channels, bands, frames, max_period=self._period)
        line = create_sin_embedding(samples, channels, max_period=self._period)
        self.register_buffer("_grid", self._weight * grid.flatten(2).transpose(1, 2).to(like))
        self.register_buffer("_line", self._weight * line.transpose(0, 1).to(like))

    def forward(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """x: tokens band by band, and within a band frame by frame; xt: of the time branch."""
        x, xt = self.norm_in(x) + self._grid, self.norm_in_t(xt) + self._line
        for layer, layer_t in zip(self.layers, self.layers_t, strict=True):
            x, xt = layer(x, xt), layer_t(xt, x)
        return x, xt


def _layer(layer: nn.Module, backend: LinearBackend) -> "Layer":
    crosses = isinstance(layer, CrossTransformerEncoderLayer)
    return (CrossAttention if crosses else SelfAttention)(layer, backend)


class Layer(nn.Module):
    """What self and cross attention layers share: both residual branches, and the last norm."""

    def __init__(
        self, layer: Any, backend: LinearBackend, attention: nn.MultiheadAttention,
        norm: nn.LayerNorm,
    ) -> None:
        super().__init__()
        self._backend = backend
        self._heads = attention.num_heads
        self.out = backend.prepare(_scaled(attention.out_proj, layer.gamma_1))
        self.widen = backend.prepare(_after(norm, layer.linear1.weight, layer.linear1.bias))
        self.narrow = backend.prepare(_scaled(layer.linear2, layer.gamma_2))
        self._eps, self._eps_out = norm.eps, layer.norm_out.eps
        self.weight, self.bias = layer.norm_out.weight, layer.norm_out.bias

    def _asked(self, x: Tensor, layer: nn.Module, parts: int) -> tuple[Tensor, ...]:
        return self._split(self._backend.after_norm(x, self._eps, layer), parts)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(segments, tokens, parts * channels) to one (segments, heads, tokens, …) a part."""
        segments, tokens, width = x.shape
        shape = segments, tokens, parts, self._heads, width // parts // self._heads
        return x.view(shape).permute(2, 0, 3, 1, 4).unbind(0)

    def _finish(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        heard = F.scaled_dot_product_attention(queries, keys, values)
        x = self._backend.add(x, heard.transpose(1, 2).reshape(x.shape), self.out)
        x = self._backend.feed_forward(x, self._eps, self.widen, self.narrow)
        if x.is_cuda:
            return normed(x, self.weight, self.bias, self._eps_out)
        return torch.addcmul(self.bias, F.layer_norm(x, x.shape[1:], eps=self._eps_out),
                             self.weight)


class SelfAttention(Layer):
    """Attention of a branch to itself."""

    def __init__(self, layer: Any, backend: LinearBackend) -> None:
        attention = layer.self_attn
        super().__init__(layer, backend, attention, layer.norm2)
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self.all = backend.prepare(_after(layer.norm1, weight, bias))

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self._finish(x, *self._asked(x, self.all, 3))


class CrossAttention(Layer):
    """Attention of a branch to the other."""

    def __init__(self, layer: Any, backend: LinearBackend) -> None:
        attention, channels = layer.cross_attn, layer.cross_attn.embed_dim
        super().__init__(layer, backend, attention, layer.norm3)
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self.queries = backend.prepare(_after(layer.norm1, weight[:channels], bias[:channels]))
        self.others = backend.prepare(_after(layer.norm2, weight[channels:], bias[channels:]))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        (queries,) = self._asked(x, self.queries, 1)
        return self._finish(x, queries, *self._asked(other, self.others, 2))


def _after(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> nn.Linear:
    """One linear layer for the norm's affine part and the linear layer after it."""
    return linear(weight * norm.weight, bias + weight @ norm.bias)


def _scaled(layer: nn.Linear, scale: nn.Module) -> nn.Linear:
    """One linear layer for a linear layer and the layer scale after it."""
    gain = getattr(scale, "scale", torch.ones_like(layer.bias))
    return linear(layer.weight * gain[:, None], layer.bias * gain)


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these numbers; weight: (out, in), bias: (out,)."""
    made = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    made.weight, made.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return made
