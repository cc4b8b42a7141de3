"""A model: its networks, what its stems are made of, and how it is applied to segments."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

import torch
import torch.nn.functional as F
from torch import nn

from server.config import PrecisionSetting
from server.engine.forwards.acceleration import accelerate
from server.engine.forwards.fast import FULL
from server.engine.forwards.graphs import Memory
from server.engine.library.catalog import ModelFiles
from server.engine.loading import Members, load_members
from server.engine.maskbag import MaskBag
from server.engine.songs.separation import Cut
from server.errors import ModelError
from server.sound import CHANNELS, SAMPLE_RATE


def usable_members(files: ModelFiles) -> Members:
    """What makes up a model, on the CPU. Raises ModelError: it cannot be loaded, or not be run."""
    members = load_members(files)
    try:
        rates = {(int(model.samplerate), model.audio_channels) for model in members.networks}
        lengths = {_samples(model) for model in members.networks}
    except (ArithmeticError, TypeError, ValueError) as error:  # of what its own file says
        raise ModelError(f"{files.name}: its rate or segment makes no sense: {error}") from None
    if min(lengths) < 1:
        raise ModelError(f"{files.name}: a segment has a sample at least")
    if rates != {(SAMPLE_RATE, CHANNELS)} or len(lengths) != 1:
        raise ModelError(f"{files.name}: want stereo, 44100 Hz and one segment length")
    if bool((members.weights.sum(0) == 0).any()):
        raise ModelError(f"{files.name}: a source has no model")
    return members


def _samples(network: Any) -> int:
    """Of a segment."""
    return int(network.samplerate * network.segment)


class Separator:
    """A bag of models on one device, ready to be applied to segments.

    Attributes:
        key: its name, by which its batches are bounded; another one in float32.
        recipe: what every stem is made of: gains over the outputs, and over the mix.
        family: the kind that it is of.
        sources: names of the stems, in order.
        segment: samples of one segment.
        reduced: whether it computes in less than float32.
        precision: what it computes in, for people: `float32`, or `float32/int8` where linear
            layers differ.
        models: (model, weights over the outputs) of every member of the bag.
        warm: whether it has run on the largest batch.
    """

    def __init__(
        self, files: ModelFiles, device: torch.device, precision: PrecisionSetting = "auto"
    ) -> None:
        members, self.recipe, weights, self.family = usable_members(files)
        self.name = self.key = files.name
        self.device = device
        self._files = files
        self._levelled = files.config is not None and files.config.levelled
        self._full: Callable[[], Separator | None] = lambda: None
        self.sources: tuple[str, ...] = tuple(self.recipe)
        self.segment = _samples(members[0])
        self._first = [int(row.nonzero()[0]) for row in weights]  # of a member's outputs
        self._gives = (weights != 0).tolist()  # of every member, which outputs count
        weights = weights.to(device)
        totals = weights.sum(0)
        self.models: list[tuple[nn.Module, torch.Tensor]] = []
        memory = Memory.on(device) if device.type == "cuda" else None
        for model, weight in zip(members, weights, strict=True):
            fast = accelerate(model, device, precision, memory)
            self.models.append((fast, weight[None, :, None, None]))
        # of mask networks that are one model, who runs is asked of them all
        alone = (self.models[0][0], members[0]) if len(members) == 1 else ()
        self._bag = next((made for made in alone if isinstance(made, MaskBag)), None)
        kinds = {getattr(fast, "precision", FULL) for fast, _ in self.models}
        self.reduced = kinds != {FULL}
        self.precision = "+".join(sorted(kind.label for kind in kinds))
        self._totals = totals[None, :, None, None]
        self.warm = False

    def in_full(self) -> "Separator":
        """The same models in float32, for the rare song that reduced precision cannot hold. They
        are here for as long as such songs are."""
        if not self.reduced:
            return self
        full = self._full() or Separator(self._files, self.device, "float32")
        full.key = f"{self.name} in float32"
        self._full = ref(full)
        return full

    def cut(self, overlap: float) -> Cut:
        """How a song is cut up for it, where neighbours share the part `overlap` of a segment."""
        return Cut(self.segment, overlap, self.family.plan, self._levelled)

    def padded_length(self, frames: int) -> int:
        """Samples that the models want for a segment of `frames` samples."""
        first: Any = self.models[0][0]
        return int(first.valid_length(frames)) if hasattr(first, "valid_length") else frames

    def members(self, needed: Sequence[bool]) -> tuple[int, ...]:
        """Which members of the bag the needed sources come from, by their places in it.

        Of a bag that gives each source to a specialist, the others need not run. Where none is
        needed, since all that is wanted cancels out to the mix, one runs all the same.
        """
        if self._bag is not None:
            return self._bag.members(needed)
        return tuple(
            place for place, gives in enumerate(self._gives)
            if any(given and want for given, want in zip(gives, needed, strict=True))
        ) or (0,)

    def warm_up(self, segments: int) -> float:
        """Runs on silence, so that allocators, kernels and graphs are in place; seconds of a
        forward of `segments`, the largest batch."""
        silence = torch.zeros(segments, 2, self.padded_length(self.segment), device=self.device)
        sizes = [2**power for power in range(segments.bit_length())]
        cuda = self.device.type == "cuda"
        for size in (*sizes, segments) if cuda else (segments,):
            for members in self._bag.choices if self._bag and cuda else (None,):
                self(silence[:size], members).cpu()
        began = time.monotonic()
        answer = self(silence)
        answer.cpu()
        if cuda:  # what is made of its answers lies there until it is written: of two batches
            _ = [torch.empty_like(answer) for _ in range(2)]
        self.warm = True
        return time.monotonic() - began

    @torch.inference_mode()
    def __call__(
        self, mix: torch.Tensor, members: tuple[int, ...] | None = None
    ) -> torch.Tensor:
        """Separates a batch of segments; does not wait for the device.

        Args:
            mix: float32 (segments, 2, padded samples) on the device.
            members: those of the bag that run, all by default.
        Returns:
            float32 (segments, outputs, 2, padded samples): the bag's weighted mean, or where a
            recipe mixes them, all outputs of its members. What would need other members means
            nothing.
        """
        if self._bag is not None:
            return self.models[0][0](mix, members or self._bag.choices[-1])  # type: ignore[no-any-return]
        total: torch.Tensor | None = None
        for place in range(len(self.models)) if members is None else members:
            model, weight = self.models[place]
            part = self._placed(place, model(mix)) * weight
            total = part if total is None else total + part
        assert total is not None
        return total / self._totals

    def _placed(self, place: int, part: torch.Tensor) -> torch.Tensor:
        """A member's outputs among those of all members, zeros for the others."""
        outputs, own = self._totals.shape[1], part.shape[1]
        if own == outputs:
            return part
        return F.pad(part, (0, 0, 0, 0, self._first[place], outputs - own - self._first[place]))
