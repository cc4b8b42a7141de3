"""A faster forward of mask networks on a CPU, of the same weights: fewer passes over memory.

A block's first norm is part of its convolution, and all that follows is one pass over every token
while that is in the cache; the masks make all stems' spectra in one pass, and so does the filter.
Convolutions may be of bfloat16; sums, dense layers, transformer, masks and transforms stay in
float32.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.blocks import Blocks
from kernels.sharing import Sharing
from kernels.spans import Spans
from kernels.wiener import Wiener
from server.engine.bands import BINS, N_FFT, spread, summed
from server.engine.forwards.fast import Precision
from server.engine.forwards.packed import PackedLinear
from server.engine.maskbag import MaskBag
from server.engine.masknet import OVERLAP
from server.engine.wiener import RIDGE


class FastMaskBag(MaskBag):
    """A MaskBag. Input float32 (segments, 2, samples), output (segments, stems, 2, samples)."""

    def __init__(self, bag: MaskBag, convolutions: torch.dtype = torch.float32) -> None:
        """convolutions: what they multiply. The last one's result goes into the masks, which lose
        most by rounding: it stays in float32."""
        networks: Any = deepcopy(bag.networks).requires_grad_(False)
        super().__init__(networks, bag.recipe, bag.wiener)
        spans = Spans(torch.get_num_threads())
        self.precision = Precision(convolutions)
        for network in self.networks:
            _quicken(network, convolutions, Blocks(spans))
        self._sharing, self._wiener = Sharing(spans), Wiener(spans, RIDGE)
        self._synthesis = (self.first.window / OVERLAP).numpy()
        value = spread(torch.arange(len(summed(torch.empty(BINS)))))
        self._value = torch.cat((value, value[-1:])).numpy()  # the Nyquist bin has its neighbour's

    def shared(self, z: Tensor, masks: Tensor) -> Tensor:
        """As the bag's, in one pass over memory."""
        made = z.new_empty(len(z), len(masks), *z.shape[1:])
        self._sharing.share(z.numpy(), masks.numpy(), self._value, made.numpy())
        return made

    def refine(self, z: Tensor, made: Tensor, shares: Tensor) -> None:
        """As the bag's, in two passes over memory."""
        self._wiener.refine(z.numpy(), made.numpy(), shares.numpy())

    def waves(self, made: Tensor, samples: int) -> Tensor:
        """As the bag's, added up in one pass over memory."""
        frames = torch.fft.irfft(made, N_FFT)
        waves = frames.new_empty(*frames.shape[:3], samples)
        rows = (part.flatten(0, 2).numpy() for part in (frames, waves))
        self._sharing.overlap_add(next(rows), self._synthesis, next(rows))
        return waves


def _quicken(network: Any, convolutions: torch.dtype, passes: Blocks) -> None:
    """Gives a mask network faster blocks and layers, whose convolutions but the last multiply
    numbers of that type."""
    kinds = [convolutions] * (len(network.blocks) - 1) + [torch.float32]
    network.blocks = nn.ModuleList(
        FastBlock(block, kind, passes) for block, kind in zip(network.blocks, kinds, strict=True)
    )
    for name in ("to_tokens", "from_tokens"):
        layer = getattr(network, name)
        setattr(network, name, PackedLinear(layer.weight, layer.bias, torch.float32))


class FastBlock(nn.Module):
    """A `Block`, whose convolution multiplies numbers of `dtype`."""

    def __init__(self, block: Any, dtype: torch.dtype, passes: Blocks) -> None:
        super().__init__()
        self._passes, self._dtype = passes, dtype
        gain, bias = _affine(block.norm)
        weight = block.conv.weight * gain[:, None, None, None]
        self._weight = weight.to(dtype, memory_format=torch.channels_last)
        self._bias = bias.to(dtype)
        self._padding, self._dilation = block.conv.padding, block.conv.dilation
        norms = (torch.stack(_affine(norm)) for norm in (block.norm_in, block.norm_out))
        self._down, self._up = block.down.numpy(), block.up.numpy()
        self._norm_in, self._norm_out = (norm.numpy() for norm in norms)

    def forward(self, x: Tensor) -> Tensor:
        """(segments, channels, frames, bands), channels last; may reuse x."""
        made = F.conv2d(x.to(self._dtype), self._weight, self._bias, 1, self._padding,
                        self._dilation).float()  # fmt: skip
        tokens, new = (part.permute(0, 2, 3, 1).contiguous() for part in (x, made))
        self._passes.finish(
            tokens.flatten(0, 1).numpy(), new.flatten(0, 1).numpy(),
            self._down, self._norm_in, self._up, self._norm_out,
        )  # fmt: skip
        return tokens.permute(0, 3, 1, 2)


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """What a batch norm that does not learn multiplies each channel by, and what it adds."""
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
