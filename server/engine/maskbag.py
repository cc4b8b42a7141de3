"""Mask networks as one model of stems: their masks are mixed, and a filter refines what they make.

Masks of one mix add up like sounds, so that a stem's gains over the networks' sources need no
sound of those: one mask is made of theirs, and only stems are transformed back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from server.engine.masknet import MaskNet, shared
from server.engine.wiener import refine
from server.sound import CHANNELS, SAMPLE_RATE
from server.stems import Recipe, own_sources


def shares_of(listing: Mapping[str, Any], recipe: Recipe) -> dict[str, float]:
    """How much of a Wiener filter's answer each stem takes in, by a model's listing.

    Raises:
        ValueError: shares that are none, or of other stems.
    """
    shares = listing.get("wiener") or {}
    known = isinstance(shares, Mapping) and shares.keys() <= recipe.keys()
    if not known or not all(
        isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares.values()
    ):
        raise ValueError("wiener: want a share from 0 to 1 for some of the stems")
    return {str(stem): float(share) for stem, share in shares.items()}


class MaskBag(nn.Module):
    """What demucs expects of a model, by the names it uses.

    A stem that some of the networks make alone is filtered against the rest of the mix, so that it
    is the same whether the others run or not; the other stems are filtered among all.

    Attributes:
        networks: that take part.
        recipe, wiener: as it was made.
        choices: of networks that orders need, by their places; the last one is all.
        sources: names of the stems, in order.
        segment: seconds of the segments that it is applied to.
    """

    def __init__(
        self, networks: Sequence[MaskNet], recipe: Recipe, shares: Mapping[str, float]
    ) -> None:
        """recipe: gains over all networks' sources, and over the mix; shares: of the stems that a
        Wiener filter refines, how much of its answer they take in."""
        super().__init__()
        self.recipe, self.wiener = recipe, shares
        self.networks = nn.ModuleList(networks)
        self.sources = list(recipe)
        self.samplerate, self.audio_channels = SAMPLE_RATE, CHANNELS
        self.segment = networks[0].segment
        self._widths = [*(len(network.sources) for network in networks), 1]
        rows = torch.tensor(list(recipe.values()))
        self._makers = [_makers(row.split(self._widths)) for row in rows]
        whole = set(range(len(networks)))
        self.choices = [*{(*sorted(makers),) for makers in self._makers if makers < whole},
                        (*whole,)]  # fmt: skip
        found = torch.tensor([shares.get(stem, 0.0) for stem in self.sources])
        alone = torch.tensor([len(makers) < len(networks) for makers in self._makers])
        self._alone = (alone & (found > 0)).tolist()
        self._among = bool((found * ~alone).any())
        self.gains: Tensor
        self.register_buffer("gains", rows)
        self.mixed: Tensor  # the masks of the mix itself
        self.register_buffer("mixed", torch.tensor([1.0, 1.0, 0.0])[:, None, None, None])
        self.shares: Tensor  # among all
        self.register_buffer("shares", found * ~alone)
        self.pairs: Tensor  # against the rest
        self.register_buffer("pairs", found[:, None].repeat(1, 2))

    @classmethod
    def of(cls, network: MaskNet) -> "MaskBag":
        """One network whose sources are the stems."""
        return cls([network], own_sources(network.sources), {})

    def valid_length(self, length: int) -> int:
        """Samples that the networks want for `length`."""
        return int(self.first.valid_length(length))

    def members(self, needed: Sequence[bool]) -> tuple[int, ...]:
        """Which networks the needed stems are made by, by their places; never none."""
        makers = zip(needed, self._makers, strict=True)
        wanted = set().union(*(found for want, found in makers if want))
        return tuple(sorted(wanted)) or self.choices[0]

    def forward(self, mix: Tensor, members: tuple[int, ...] | None = None) -> Tensor:
        """(segments, 2, samples) to (segments, stems, 2, samples); silence stays silence.

        members: the networks that run, all by default. Stems that need others are silent.
        """
        members = members or self.choices[-1]
        z = self.first.spectra(mix)
        made = self.filtered(z, self.shared(z, self.masks(z, members)), members)
        waves = self.waves(made, mix.shape[-1])
        stems = self.made_by(members)
        if len(stems) == len(self.sources):
            return waves
        whole = waves.new_zeros(len(mix), len(self.sources), *waves.shape[2:])
        for place, stem in enumerate(stems):
            whole[:, stem] = waves[:, place]
        return whole

    def made_by(self, members: Sequence[int]) -> list[int]:
        """The stems that these networks make, by their places."""
        return [place for place, makers in enumerate(self._makers) if makers <= set(members)]

    def masks(self, z: Tensor, members: tuple[int, ...]) -> Tensor:
        """Of spectra (segments, 2, frames, bins + 1), of each stem that these networks make:
        (stems, MASKS, segments, frames, values)."""
        gains = torch.stack([self.gains[stem] for stem in self.made_by(members)])
        *parts, of_mix = gains.split(self._widths, 1)
        masks = of_mix[:, :, None, None, None] * self.mixed
        for place in members:
            network: Any = self.networks[place]
            masks = masks + torch.tensordot(parts[place], network.masks(z), 1)
        return masks

    def shared(self, z: Tensor, masks: Tensor) -> Tensor:
        """The stems' spectra (segments, stems, 2, frames, bins + 1) by their masks."""
        return shared(z, masks)

    def filtered(self, z: Tensor, made: Tensor, members: tuple[int, ...]) -> Tensor:
        """The stems that these networks make, refined; writes into `made`."""
        stems = self.made_by(members)
        for place, stem in enumerate(stems):
            if self._alone[stem]:
                pair = torch.stack((made[:, place], z - made[:, place]), 1)
                self.refine(z, pair, self.pairs[stem])
                made[:, place] = pair[:, 0]
        if self._among and len(stems) == len(self.sources):
            self.refine(z, made, self.shares)
        return made

    def refine(self, z: Tensor, made: Tensor, shares: Tensor) -> None:
        """As `wiener.refine`."""
        refine(z, made, shares)

    def waves(self, made: Tensor, samples: int) -> Tensor:
        """The sounds of spectra."""
        return self.first.waves(made, samples)  # type: ignore[no-any-return]

    @property
    def first(self) -> Any:
        """The network that transforms for all."""
        return self.networks[0]


def _makers(parts: Sequence[Tensor]) -> set[int]:
    """The networks whose sources, network by network and last the mix, a row of gains uses; the
    first, for the mix alone."""
    return {place for place, part in enumerate(parts[:-1]) if part.any()} or {0}
