"""The bands of a mask network: how a spectrum's bins are shared out, and layers of their own."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

N_FFT, HOP = 4096, 1024
BINS = N_FFT // 2  # the Nyquist bin is left out


class Group(NamedTuple):
    """Neighbouring bands of one width.

    Attributes:
        bands: how many.
        width: bins of each.
        share: bins that share a mask value: where hearing is coarse, so is the mask.
    """

    bands: int
    width: int
    share: int

    @property
    def bins(self) -> int:
        """Bins of all its bands."""
        return self.bands * self.width


# From the bottom; a bin is 10.8 Hz: a semitone near the bass, a third octave at the top.
GROUPS = (
    Group(24, 3, 1), Group(16, 6, 1), Group(12, 12, 1), Group(12, 24, 2), Group(10, 48, 4),
    Group(11, 88, 8),
)  # fmt: skip
BANDS = sum(group.bands for group in GROUPS)


def summed(x: Tensor) -> Tensor:
    """Sums over the bins that share a mask value: (…, bins) to (…, values)."""
    parts = x.split([group.bins for group in GROUPS], -1)
    shared = [p.unflatten(-1, (-1, g.share)).sum(-1) if g.share > 1 else p
              for p, g in zip(parts, GROUPS, strict=True)]  # fmt: skip
    return torch.cat(shared, -1)


def spread(x: Tensor) -> Tensor:
    """Mask values to every bin that shares them: (…, values) to (…, bins)."""
    parts = x.split([group.bins // group.share for group in GROUPS], -1)
    wide = [p.repeat_interleave(g.share, -1) if g.share > 1 else p
            for p, g in zip(parts, GROUPS, strict=True)]  # fmt: skip
    return torch.cat(wide, -1)


class BandLinear(nn.Module):
    """A linear layer of its own for each band; bands of one width are multiplied at once."""

    def __init__(self, rows: list[int], columns: list[int]) -> None:
        """rows, columns: of each group, what goes into a band's layer and what comes out."""
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for group, inside, outside in zip(GROUPS, rows, columns, strict=True):
            bound = inside**-0.5
            weight = torch.empty(group.bands, inside, outside).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(group.bands, 1, outside)))

    def apply_to(self, group: int, x: Tensor) -> Tensor:
        """(bands, tokens, rows) of a group to (bands, tokens, columns)."""
        return torch.baddbmm(self.biases[group], x, self.weights[group])


class BandSplit(BandLinear):
    """From features of every bin to channels of every band."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__([features * g.width for g in GROUPS], [channels] * len(GROUPS))

    def forward(self, x: Tensor) -> Tensor:
        """(features, tokens, bins) to (tokens, bands, channels)."""
        parts = []
        for place, part in enumerate(x.split([group.bins for group in GROUPS], 2)):
            bands = part.unflatten(2, (-1, GROUPS[place].width)).permute(2, 1, 0, 3).flatten(2)
            parts.append(self.apply_to(place, bands).transpose(0, 1))
        return torch.cat(parts, 1)


class BandMerge(BandLinear):
    """From channels of every band to outputs of every mask value."""

    def __init__(self, channels: int, outputs: int) -> None:
        columns = [outputs * g.width // g.share for g in GROUPS]
        super().__init__([channels] * len(GROUPS), columns)
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, bands, channels) to (outputs, tokens, values)."""
        parts = []
        for place, part in enumerate(x.split([group.bands for group in GROUPS], 1)):
            values = self.apply_to(place, part.transpose(0, 1))
            parts.append(values.unflatten(2, (self.outputs, -1)).permute(2, 1, 0, 3).flatten(2))
        return torch.cat(parts, 2)
