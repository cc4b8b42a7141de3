"""A faster forward of HTDemucs, of the same weights: what the engine runs in place of demucs's.

All activations are channels last (segments, bands, frames, channels), in the time branch with a
single band: convolutions and linear layers need no copies in between, a band's frames lie
together for the norms of DConv, and the transformer reads its tokens where they are. The
statistics and the Fourier transforms stay in float32 whatever the precision of the rest.
"""

from copy import deepcopy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from demucs.demucs import DConv
from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn

from server.engine.forwards import attention
from server.engine.forwards.linears import FloatBackend, Int8Backend, LinearBackend
from server.engine.forwards.passes import Passes
from server.engine.forwards.spectra import Spectra

DCONV = [nn.Conv1d, nn.GroupNorm, nn.GELU, nn.Conv1d, nn.GroupNorm, nn.GLU]


def has_fast_forward(model: Any) -> bool:
    """Whether it is an HTDemucs of just the parts that htdemucs and its kin have."""
    if type(model) is not HTDemucs:
        return False
    branches = [model.encoder, model.tencoder, model.decoder, model.tdecoder]
    return bool(
        model.cac and model.use_train_segment and len({len(layers) for layers in branches}) == 1
        and all(_plain(layer) for layers in branches for layer in layers)
        and model.crosstransformer is not None and attention.plain(model.crosstransformer)
        and model.segment * model.samplerate > 2 * model.nfft
    )  # fmt: skip


def _plain(layer: Any) -> bool:
    if type(layer) not in (HEncLayer, HDecLayer):
        return False
    if layer.empty or layer.norm or layer.rewrite is None or layer.pad != layer.kernel_size // 4:
        return False
    branches = [] if layer.dconv is None else layer.dconv.layers
    return all([type(part) for part in branch][:-1] == DCONV for branch in branches)


class Precision(NamedTuple):
    """What a forward computes in: its convolutions, and the transformer's linear layers.

    int8 is for `tokens` on a CPU only.
    """

    convolutions: torch.dtype = torch.float32
    tokens: torch.dtype = torch.float32

    @property
    def label(self) -> str:
        """For people: `float32`, or `float32/int8` where the two differ."""
        names = [str(kind).removeprefix("torch.") for kind in self]
        return names[0] if names[0] == names[1] else "/".join(names)


FULL = Precision()


class FastHTDemucs(nn.Module):
    """HTDemucs. Input float32 (segments, 2, samples), output (segments, sources, 2, samples).

    Made for segments of the training length; shorter ones are padded, as demucs does.
    """

    def __init__(self, model: Any, passes: Passes, precision: Precision = FULL) -> None:
        super().__init__()
        self.precision = precision
        self._dtype = precision.convolutions
        self._passes = passes
        self._length = int(model.segment * model.samplerate)
        self._spectra = Spectra(model.nfft, self._length)
        self.encoder = nn.ModuleList(Encoder(layer, passes) for layer in model.encoder)
        self.tencoder = nn.ModuleList(Encoder(layer, passes) for layer in model.tencoder)
        self.decoder = nn.ModuleList(Decoder(layer, passes) for layer in model.decoder)
        self.tdecoder = nn.ModuleList(Decoder(layer, passes) for layer in model.tdecoder)
        backend = _backend(precision.tokens)
        self.transformer = attention.Transformer(model.crosstransformer, backend)
        self.upsampler = _pointwise(model, "channel_upsampler")
        self.upsampler_t = _pointwise(model, "channel_upsampler_t")
        self.downsampler = _pointwise(model, "channel_downsampler")
        self.downsampler_t = _pointwise(model, "channel_downsampler_t")
        self._band_embedding: Tensor | None
        self.register_buffer("_band_embedding", _band_embedding(model))
        frames, samples = self._spectra.frames, self._length
        for layer in model.tencoder:
            samples = -(-samples // layer.stride)
        bands = self._spectra.bands
        for layer in model.encoder:
            bands //= layer.stride
        self.transformer.embed(bands, frames, samples)
        for part in (self.encoder, self.tencoder, self.decoder, self.tdecoder, self.upsampler,
                     self.upsampler_t, self.downsampler, self.downsampler_t):
            part.to(precision.convolutions)

    def valid_length(self, length: int) -> int:
        """Samples of the input for a segment of `length`, as demucs says it."""
        if length > self._length:
            raise ValueError(f"a segment has at most {self._length} samples")
        return self._length

    def forward(self, mix: Tensor) -> Tensor:
        length = mix.shape[-1]
        mix = F.pad(mix, (0, self._length - length))
        x, mean, std = _normalised(self._spectra.analyse(mix))
        xt, mean_t, std_t = _normalised(mix.transpose(1, 2)[:, None])
        x, xt = self._body(x.to(self._dtype), xt.to(self._dtype))
        sources = xt.shape[-1] // 2
        waves = self._spectra.synthesise(self._passes.spectra(x, mean, std))
        made = waves.unflatten(1, (sources, 2)) + mean_t
        direct = xt.float()[:, 0].unflatten(2, (sources, 2)).permute(0, 2, 3, 1)
        return torch.addcmul(made, direct, std_t)[..., :length]

    def _body(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """Both branches from their normalised inputs to their normalised outputs."""
        skips, skips_t = [], []
        for place, (encode, encode_t) in enumerate(zip(self.encoder, self.tencoder, strict=True)):
            skips_t.append((xt.shape[2], encode_t(xt)))
            x = encode(x)
            if place == 0 and self._band_embedding is not None:
                x = x.add_(self._band_embedding)
            skips.append(x)
            xt = skips_t[-1][1]
        shape, shape_t = x.shape, xt.shape
        tokens, tokens_t = self.upsampler(x.flatten(1, 2)), self.upsampler_t(xt.flatten(1, 2))
        tokens, tokens_t = self.transformer(tokens.float(), tokens_t.float())
        x = self.downsampler(tokens.to(self._dtype)).view(shape)
        xt = self.downsampler_t(tokens_t.to(self._dtype)).view(shape_t)
        for decode, decode_t in zip(self.decoder, self.tdecoder, strict=True):
            x = decode(x.add_(skips.pop()))
            length, skip = skips_t.pop()
            xt = decode_t(xt.add_(skip))[:, :, :length]
        return x, xt


def _backend(dtype: torch.dtype) -> LinearBackend:
    return Int8Backend(torch.get_num_threads()) if dtype == torch.int8 else FloatBackend(dtype)


class Encoder(nn.Module):
    """One layer of an encoder: convolution, GELU, DConv, rewriting, GLU."""

    def __init__(self, layer: HEncLayer, passes: Passes) -> None:
        super().__init__()
        self._stride = layer.stride
        self._passes = passes
        self.convolution = Convolution(layer.conv)
        self.residual = Residual(layer.dconv, passes)
        self.rewrite = Convolution(layer.rewrite)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and (rest := x.shape[2] % self._stride):
            x = F.pad(x, (0, 0, 0, self._stride - rest))
        return self._passes.glu(self.rewrite(self.residual(self._passes.gelu(self.convolution(x)))))


class Decoder(nn.Module):
    """One layer of a decoder: rewriting, GLU, DConv, transposed convolution, GELU."""

    def __init__(self, layer: HDecLayer, passes: Passes) -> None:
        super().__init__()
        self._last = layer.last
        self._passes = passes
        self.rewrite = Convolution(layer.rewrite)
        self.residual = Residual(layer.dconv, passes)
        self.convolution = Convolution(layer.conv_tr, layer.pad)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(self.residual(self._passes.glu(self.rewrite(x))))
        return x if self._last else self._passes.gelu(x)


class Residual(nn.Module):
    """DConv: dilated convolutions over the frames of each band, added to their input."""

    def __init__(self, dconv: DConv | None, passes: Passes) -> None:
        super().__init__()
        layers: Any = dconv.layers if dconv is not None else ()
        self.branches = nn.Sequential(*(Branch(layer, passes) for layer in layers))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.branches(x)
        return made


class Branch(nn.Module):
    """One residual branch of DConv."""

    def __init__(self, layer: Any, passes: Passes) -> None:
        super().__init__()
        first, norm, _, second, norm_out, _, scale = deepcopy(layer)
        self._passes = passes
        self.first, self.second = Convolution(first), Convolution(second)
        self.norm: nn.GroupNorm = norm
        self.norm_out: nn.GroupNorm = norm_out
        self.scale: nn.Parameter = scale.scale

    def forward(self, x: Tensor) -> Tensor:
        norm, out = self.norm, self.norm_out
        h = self._passes.norm_gelu(self.first(x), norm.weight, norm.bias, norm.eps)
        return self._passes.norm_glu_add(
            self.second(h), out.weight, out.bias, self.scale, out.eps, x
        )


class Convolution(nn.Module):
    """Any of demucs's convolutions, on channels-last activations."""

    def __init__(self, convolution: Any, crop: int = 0) -> None:
        super().__init__()
        self._turned = isinstance(convolution, nn.ConvTranspose1d | nn.ConvTranspose2d)
        flat = convolution.weight.dim() == 3
        weight = convolution.weight.detach().unsqueeze(2) if flat else convolution.weight.detach()
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(convolution.bias.detach())  # not shared: precisions differ
        ahead = (1,) if flat else ()
        self._stride = ahead + convolution.stride
        self._dilation = ahead + convolution.dilation
        self._padding = tuple(0 for _ in ahead) + convolution.padding
        if self._turned:  # the samples that demucs cuts off are not made
            self._padding = (0, crop) if flat else (crop, 0)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if self._turned:
            y = F.conv_transpose2d(x, self.weight, self.bias, self._stride, self._padding)
        else:
            y = F.conv2d(x, self.weight, self.bias, self._stride, self._padding, self._dilation)
        return y.permute(0, 2, 3, 1).contiguous()


def _pointwise(model: Any, name: str) -> nn.Module:
    """A convolution over one sample as a linear layer; what the model does not have is no step."""
    if not model.bottom_channels:
        return nn.Identity()
    convolution: nn.Conv1d = getattr(model, name)
    assert convolution.bias is not None
    return attention.linear(convolution.weight[..., 0], convolution.bias)


def _band_embedding(model: Any) -> Tensor | None:
    """(bands, 1, channels), added after the first encoder."""
    if model.freq_emb is None:
        return None
    bands = torch.arange(model.freq_emb.embedding.num_embeddings)
    embedding: Tensor = model.freq_emb(bands.to(model.freq_emb.embedding.weight.device))
    return (model.freq_emb_scale * embedding).detach()[:, None]


def _normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A segment's input as the model wants it, its mean and its deviation (segments, 1, 1, 1)."""
    mean = x.mean((1, 2, 3), keepdim=True)
    std = x.std((1, 2, 3), keepdim=True)
    return (x - mean) / (1e-5 + std), mean, std
