"""The memory-bound steps between a fast model's convolutions, by the device's best means.

Tensors are contiguous, channels last: (segments, bands, frames, channels). A group norm of one
group goes over the frames and channels of one band.
"""

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.channels_last import ChannelsLast
from kernels.spans import Spans


class Passes(Protocol):
    """What a device must know to do."""

    def norm_gelu(self, h: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """GELU(norm(h) * weight + bias); may reuse h."""
        ...

    def norm_glu_add(
        self, y: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, eps: float, x: Tensor
    ) -> Tensor:
        """x + GLU(norm(y) * weight + bias) * scale; may reuse x."""
        ...

    def gelu(self, x: Tensor) -> Tensor:
        """GELU; may reuse x."""
        ...

    def glu(self, y: Tensor) -> Tensor:
        """GLU over the channels."""
        ...

    def spectra(self, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """x * std + mean, channels first: complex (segments, channels / 2, frames, bands + 1).

        x: real and imaginary parts in turn; mean, std: (segments, 1, 1, 1). The highest band,
        which x leaves out, is zero.
        """
        ...


class CompiledPasses:
    """On a CPU, in float32: one pass over memory each, by the compiled kernels."""

    def __init__(self, threads: int) -> None:
        self._kernels = ChannelsLast(Spans(threads))

    def norm_gelu(self, h: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        self._kernels.norm_gelu(_rows(h), weight.numpy(), bias.numpy(), eps)
        return h

    def norm_glu_add(
        self, y: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, eps: float, x: Tensor
    ) -> Tensor:
        numbers = weight.numpy(), bias.numpy(), scale.numpy()
        self._kernels.norm_glu_add(_rows(y), *numbers, eps, _rows(x))
        return x

    def gelu(self, x: Tensor) -> Tensor:
        self._kernels.gelu(x.view(-1).numpy())
        return x

    def glu(self, y: Tensor) -> Tensor:
        channels = y.shape[-1] // 2
        out = torch.empty(*y.shape[:-1], channels)
        self._kernels.glu(y.view(-1, 2 * channels).numpy(), out.view(-1, channels).numpy())
        return out

    def spectra(self, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        segments, bands, frames, channels = x.shape
        out = torch.empty(segments, channels // 2, frames, bands + 1, dtype=torch.complex64)
        for part, shift, scale, made in zip(x, mean.flatten(), std.flatten(), out, strict=True):
            self._kernels.spectra(part.numpy(), float(shift), float(scale), made.numpy())
        return out


class TorchPasses:
    """On any device, in any precision; the statistics are taken in float32. Made for a card."""

    def norm_gelu(self, h: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return F.gelu(normed(h, weight, bias, eps))

    def norm_glu_add(
        self, y: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, eps: float, x: Tensor
    ) -> Tensor:
        return torch.addcmul(x, F.glu(normed(y, weight, bias, eps), -1), scale)

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(x)

    def glu(self, y: Tensor) -> Tensor:
        return F.glu(y, -1)

    def spectra(self, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        parts = torch.addcmul(mean, x.float(), std).unflatten(3, (-1, 2))
        return F.pad(torch.view_as_complex(parts).permute(0, 3, 2, 1), (0, 1))


def _rows(x: Tensor) -> np.ndarray:
    return x.view(-1, *x.shape[2:]).numpy()


def normed(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The norm over the last two dimensions, times weight, plus bias (both of the last alone).

    Its statistics are reductions that the whole card shares; a layer norm or a group norm has
    one block of threads for each row, and here a row may have eight million numbers.
    """
    variance, mean = _moments(x)
    scale = torch.rsqrt(variance + eps) * weight
    # One pass: float32 inside, and in memory what x has.
    return torch.addcmul(bias - mean * scale, x, scale, out=torch.empty_like(x))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean over the last two dimensions, float32 (…, 1, 1)."""
    if x.dtype == torch.float32:
        return torch.var_mean(x, (-2, -1), correction=0, keepdim=True)
    # var_mean answers in the type of x, in which a variance overflows.
    mean = x.mean((-2, -1), keepdim=True, dtype=torch.float32)
    norm = torch.linalg.vector_norm(x, 2, (-2, -1), keepdim=True, dtype=torch.float32)
    power = norm.square() / (x.shape[-2] * x.shape[-1])
    return (power - mean.square()).clamp_(min=0), mean
