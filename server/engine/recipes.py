"""What a model's stems are made of: gains over all that its networks put out, and over the mix.

A listing may name such gains, one row a stem: of every network's sources, network by network,
and at last of the mix. Without them every source is a stem, and a bag is a weighted mean.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from server.sound import CHANNELS, SAMPLE_RATE
from server.stems import Recipe, own_sources


def recipe_of(listing: Mapping[str, Any], networks: Sequence[Any]) -> Recipe:
    """The recipe of a model by its listing.

    Raises:
        ValueError: rows that do not fit the networks, or networks that need rows and have none.
    """
    if (rows := listing.get("gains")) is None:
        sources = {tuple(network.sources) for network in networks}
        if len(sources) != 1:
            raise ValueError("networks of different sources need gains")
        return own_sources(sources.pop())
    columns = sum(len(network.sources) for network in networks) + 1
    recipe = {str(stem): tuple(map(float, row)) for stem, row in rows.items()}
    if any(len(row) != columns or not all(map(isfinite, row)) for row in recipe.values()):
        raise ValueError(f"want {columns} numbers for every stem")
    if listing.get("weights") is not None:
        raise ValueError("gains and weights exclude each other")
    return recipe


class Formed(nn.Module):
    """All networks of a model and its recipe as one model that demucs's `apply_model` can run.

    It says what the engine's answer should be, and is what quality is measured on.
    """

    def __init__(self, networks: Sequence[Any], recipe: Recipe) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.sources = list(recipe)
        self.samplerate, self.audio_channels = SAMPLE_RATE, CHANNELS
        self.segment = networks[0].segment
        self.gains: Tensor
        self.register_buffer("gains", torch.tensor(list(recipe.values())))

    def valid_length(self, length: int) -> int:
        """Samples that the networks want for `length`."""
        first: Any = self.networks[0]
        return int(first.valid_length(length)) if hasattr(first, "valid_length") else length

    def forward(self, mix: Tensor) -> Tensor:
        """(segments, 2, samples) to (segments, stems, 2, samples)."""
        parts = [network(mix) for network in self.networks]
        made = torch.cat(list(chain(parts, [mix[:, None]])), 1)
        return torch.einsum("so,bocn->bscn", self.gains, made)
