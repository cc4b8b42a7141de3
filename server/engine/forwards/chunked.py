"""A network that knows only how to separate a chunk, in the shape that the engine needs."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from server.engine.forwards.fast import FULL
from server.sound import CHANNELS, SAMPLE_RATE


class Chunked(nn.Module):
    """A network by the convention of Music-Source-Separation-Training.

    Attributes:
        network: (segments, 2, samples) to (segments, outputs, 2, samples), or without `outputs`
            where there is one; a little shorter where its transforms make it so.
        sources: names of the outputs.
        segment: seconds of a chunk.
        precision: what it computes in.
    """

    def __init__(self, network: Any, sources: Sequence[str], samples: int) -> None:
        super().__init__()
        self.network = network
        self.sources = list(sources)
        self.samplerate, self.audio_channels = SAMPLE_RATE, CHANNELS
        self.segment = Fraction(samples, SAMPLE_RATE)
        self._samples = samples
        self.precision = FULL

    def valid_length(self, length: int) -> int:
        """Samples that it wants for `length`: a whole chunk, for shorter ones too."""
        return max(length, self._samples)

    def forward(self, mix: Tensor) -> Tensor:
        """(segments, 2, samples) to (segments, sources, 2, samples)."""
        made = self.network(mix)
        if made.ndim == 3:
            made = made[:, None]
        lacking = mix.shape[-1] - made.shape[-1]
        return F.pad(made, (0, lacking)) if lacking else made
