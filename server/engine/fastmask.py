"""A faster forward of mask networks on a CPU, of the same weights: fewer passes over memory.

A block's first norm is part of its convolution, and all that follows is one pass over every token
while that is in the cache; the masks make all sources' spectra in one pass. Convolutions may be of
bfloat16; sums, dense layers, transformer, masks and transforms stay in float32.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.blocks import Blocks
from kernels.sharing import Sharing
from kernels.spans import Spans
from server.engine.bands import BINS, N_FFT, spread, summed
from server.engine.fast import Precision
from server.engine.masknet import OVERLAP, MaskNet
from server.engine.packed import PackedLinear


class FastMaskNet(nn.Module):
    """A MaskNet. Input float32 (segments, 2, samples), output (segments, sources, 2, samples)."""

    def __init__(self, model: MaskNet, convolutions: torch.dtype = torch.float32) -> None:
        """convolutions: what they multiply. The last one's result goes into the masks, which lose
        most by rounding: it stays in float32."""
        super().__init__()
        spans = Spans(torch.get_num_threads())
        self.sources, self.segment = model.sources, model.segment
        self.samplerate, self.audio_channels = model.samplerate, model.audio_channels
        self.precision = Precision(convolutions)
        self.network: Any = deepcopy(model).requires_grad_(False)
        kinds = [convolutions] * (len(model.blocks) - 1) + [torch.float32]
        self.network.blocks = nn.ModuleList(
            FastBlock(block, kind, Blocks(spans))
            for block, kind in zip(self.network.blocks, kinds, strict=True)
        )
        for name in ("to_tokens", "from_tokens"):
            layer = getattr(self.network, name)
            setattr(self.network, name, PackedLinear(layer.weight, layer.bias, torch.float32))
        self._sharing = Sharing(spans)
        self._synthesis = (model.window / OVERLAP).numpy()
        value = spread(torch.arange(len(summed(torch.empty(BINS)))))
        self._value = torch.cat((value, value[-1:])).numpy()  # the Nyquist bin has its neighbour's

    def valid_length(self, length: int) -> int:
        """As the network's."""
        return int(self.network.valid_length(length))

    def forward(self, mix: Tensor) -> Tensor:
        """(segments, 2, samples) to (segments, sources, 2, samples); silence stays silence."""
        z = self.network.spectra(mix)
        made = z.new_empty(len(z), len(self.sources), *z.shape[1:])
        self._sharing.share(z.numpy(), self.network.masks(z).numpy(), self._value, made.numpy())
        frames = torch.fft.irfft(made, N_FFT)
        waves = mix.new_empty(*frames.shape[:3], mix.shape[-1])
        rows = (part.flatten(0, 2).numpy() for part in (frames, waves))
        self._sharing.overlap_add(next(rows), self._synthesis, next(rows))
        return waves


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
