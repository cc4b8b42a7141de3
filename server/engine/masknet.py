"""A band-split mask network: the starter's own kind of model.

Spectra go in, and out comes how the sources share out middle and side of every bin, so that they
add up to the mix. Bands of bins in place of single bins are from band-split RNN (Luo and Yu,
2023), the blocks from TFC-TDF (Choi et al., 2020). Everything lies channels last: convolutions,
the dense layers over the bands and the transformer read it in place.
"""

import math
from fractions import Fraction

import torch
import torch.nn.functional as F
from demucs.states import capture_init
from torch import Tensor, nn

from server.engine.bands import BANDS, BINS, HOP, N_FFT, BandMerge, BandSplit, spread
from server.sound import CHANNELS, SAMPLE_RATE

MASKS = 3  # of a source: of the middle, of the side, and from each to the other
FEATURES = 4  # of a bin: the magnitudes of left, right, middle and side
EDGE = N_FFT - HOP  # samples of silence around, so that N_FFT / HOP windows cover each sample
OVERLAP = 1.5  # what the squares of those Hann windows add up to


class Block(nn.Module):
    """Residual: a 3x3 convolution, dilated in time; then dense layers over the bands."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=(dilation, 1),
                              dilation=(dilation, 1), bias=False)  # fmt: skip
        self.norm = nn.BatchNorm2d(channels)
        narrow = BANDS // 4
        self.down = nn.Parameter(torch.randn(narrow, BANDS) * BANDS**-0.5)
        self.up = nn.Parameter(torch.randn(BANDS, narrow) * narrow**-0.5)
        self.norm_in, self.norm_out = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(segments, channels, frames, bands), channels last."""
        x = x + F.gelu(self.norm(self.conv(x)))
        y = F.gelu(self.norm_in(over_bands(self.down, x)))
        return x + F.gelu(self.norm_out(over_bands(self.up, y)))


def over_bands(weight: Tensor, x: Tensor) -> Tensor:
    """weight (new, bands) times x (segments, channels, frames, bands), channels last."""
    y = x.permute(0, 2, 3, 1)
    y = torch.matmul(weight, y.flatten(0, 1)).unflatten(0, y.shape[:2])
    return y.permute(0, 3, 1, 2)


class MaskNet(nn.Module):
    """What demucs expects of a model, by the names it uses.

    Attributes:
        sources: names of the outputs, in order.
        segment: seconds of the segments that it is applied to.
    """

    @capture_init
    def __init__(
        self, sources: list[str], channels: int = 32, blocks: int = 6, dim: int = 256,
        layers: int = 2, segment: Fraction | float = 6,
    ) -> None:  # fmt: skip
        """blocks: half of them before the transformer, which has a token of size `dim` a frame."""
        super().__init__()
        self.sources, self.segment = list(sources), segment
        self.samplerate, self.audio_channels = SAMPLE_RATE, CHANNELS
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.window: Tensor
        self.norm = nn.BatchNorm1d(FEATURES * BINS)
        self.split = BandSplit(FEATURES, channels)
        self.blocks = nn.ModuleList(Block(channels, 2 ** (i % 3)) for i in range(blocks))
        # norms on both ways: tokens without grow until they drown the transformer and all that
        # is local
        self.to_tokens, self.norm_tokens = nn.Linear(BANDS * channels, dim), nn.BatchNorm1d(dim)
        layer = nn.TransformerEncoderLayer(
            dim, 4, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.from_tokens = nn.Linear(dim, BANDS * channels)
        self.local_norm, self.token_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.last_norm = nn.BatchNorm2d(channels)
        self.heads = BandMerge(channels, MASKS * len(sources))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def valid_length(self, length: int) -> int:
        """Samples that it wants for `length`: a whole segment, for shorter ones too."""
        return max(length, int(self.segment * self.samplerate))

    def forward(self, mix: Tensor) -> Tensor:
        """(segments, 2, samples) to (segments, sources, 2, samples); silence stays silence."""
        z = self.spectra(mix)
        return self.waves(shared(z, self.masks(z)), mix.shape[-1])

    def spectra(self, x: Tensor) -> Tensor:
        """(…, samples) to complex (…, frames, bins + 1), at last the Nyquist bin."""
        short = -x.shape[-1] % HOP
        frames = F.pad(x, (EDGE, EDGE + short)).unfold(-1, N_FFT, HOP)
        return torch.fft.rfft(frames * self.window)

    def waves(self, z: Tensor, samples: int) -> Tensor:
        """The inverse: complex (…, frames, bins + 1) to float32 (…, samples)."""
        frames = torch.fft.irfft(z, N_FFT) * (self.window / OVERLAP)
        quarters = frames.unflatten(-1, (N_FFT // HOP, HOP))
        count = z.shape[-2]
        total = quarters.new_zeros(*quarters.shape[:-3], count + N_FFT // HOP - 1, HOP)
        for place in range(N_FFT // HOP):
            total[..., place : place + count, :] += quarters[..., place, :]
        return total.flatten(-2)[..., EDGE : EDGE + samples]

    def masks(self, z: Tensor) -> Tensor:
        """Of spectra (segments, 2, frames, bins + 1): (sources, MASKS, segments, frames, values).

        Over the sources the masks of middle and side add up to one, the others to nothing.
        """
        return self.masks_from(features(z[..., :BINS]))

    def masks_from(self, x: Tensor) -> Tensor:
        """The same of `features` (segments, 4, frames, bins)."""
        batch, _, frames, _ = x.shape
        x = x.transpose(0, 1).flatten(1, 2)  # feature, token, bin
        x = self.norm(x.transpose(0, 1).flatten(1)).unflatten(1, (FEATURES, BINS)).transpose(0, 1)
        x = self.split(x).unflatten(0, (batch, frames)).permute(0, 3, 1, 2)  # channels last
        half = len(self.blocks) // 2
        for place, block in enumerate(self.blocks):
            x = self.remember(x) if place == half else x
            x = block(x)
        x = self.last_norm(x).permute(0, 2, 3, 1).flatten(0, 1)
        x = self.heads(x).unflatten(1, (batch, frames))
        x = x.unflatten(0, (len(self.sources), MASKS))
        across = 0.5 * torch.tanh(x[:, 2:])
        return torch.cat((x[:, :2].softmax(0), across - across.mean(0)), 1)

    def remember(self, x: Tensor) -> Tensor:
        """Adds what the transformer makes of all frames: (segments, channels, frames, bands)."""
        tokens = self.to_tokens(x.permute(0, 2, 3, 1).flatten(2))
        tokens = self.norm_tokens(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        tokens = self.transformer(tokens + positions(tokens))
        made = self.from_tokens(tokens).unflatten(2, (x.shape[3], x.shape[1]))
        return self.local_norm(x) + self.token_norm(made.permute(0, 3, 1, 2))


def shared(z: Tensor, masks: Tensor) -> Tensor:
    """What masks make of spectra (segments, 2, frames, bins + 1).

    masks: (sources, MASKS, segments, frames, values). Returns (segments, sources, 2, frames,
    bins + 1), left and right.
    """
    masks = spread(masks)
    masks = torch.cat((masks, masks[..., -1:]), -1).transpose(0, 2)
    middle, side, across = masks.unbind(1)  # segments, sources, frames, bins
    m, s = middle_side(z).unsqueeze(2).unbind(1)
    made = torch.stack((middle * m + across * s, across * m + side * s), 2)
    return middle_side(made.transpose(1, 2)).transpose(1, 2)


def middle_side(z: Tensor) -> Tensor:
    """Left and right (segments, 2, …) to middle and side, and back: no energy is lost."""
    return torch.stack((z[:, 0] + z[:, 1], z[:, 0] - z[:, 1]), 1) * 0.5**0.5


@torch.no_grad()
def features(z: Tensor) -> Tensor:
    """|X|^0.25 of left, right, middle and side, all at one level: (segments, 4, frames, bins)."""
    power = z.real.square() + z.imag.square()
    level = power.mean((1, 2, 3), keepdim=True) + 1e-12
    middle, side = 0.5 * (z[:, :1] + z[:, 1:]), 0.5 * (z[:, :1] - z[:, 1:])
    others = torch.cat((middle, side), 1)
    power = torch.cat((power, others.real.square() + others.imag.square()), 1)
    return power.div_(level).add_(1e-8).sqrt_().sqrt_().sqrt_()


def positions(tokens: Tensor) -> Tensor:
    """Sines and cosines of every frame's number, for tokens (segments, frames, dim)."""
    _, frames, dim = tokens.shape
    steps = torch.arange(0, dim, 2, device=tokens.device) * (-math.log(10000.0) / dim)
    at = torch.arange(frames, device=tokens.device)[:, None] * torch.exp(steps)
    return torch.cat((at.sin(), at.cos()), 1)
