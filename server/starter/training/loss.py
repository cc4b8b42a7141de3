"""Owns what a mask network learns from: the squared error of its spectra.

Squared error learns the mean, so that a stem which plays half of the time is not silenced; and
where a mask is constant over some bins it needs their sums alone, a third of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from server.engine.bands import BINS, N_FFT, summed
from server.engine.masknet import OVERLAP, MaskNet, features, middle_side
from server.starter.songs import STEMS

WHOLES = MappingProxyType({
    "instrumental": frozenset(STEMS) - {"vocals"}, "backing": frozenset(STEMS) - {"guitar"},
})  # fmt: skip
# sums of stems that count besides the parts themselves
SUMS = (frozenset(("other", "guitar", "piano")), WHOLES["instrumental"])
PLAIN: Mapping[str, float] = MappingProxyType({})  # an emphasis on nothing
QUIET = 0.1  # of the mix's energy, added to a target's: how much a quiet stem may weigh


class Target(NamedTuple):
    """Stems whose sum is in the loss: which sources form the guess, which parts the truth."""

    sources: list[int]
    parts: list[int]
    stems: frozenset[str]


def targets(sources: Sequence[str], parts: Sequence[str]) -> list[Target]:
    """What can be compared where a network has `sources` and an example has `parts`."""
    wanted = [*map(stems_of, parts), *map(stems_of, sources), *SUMS]
    formed = [
        Target(forming(stems, sources), forming(stems, parts), stems)
        for stems in dict.fromkeys(wanted)
    ]
    return [target for target in formed if target.sources and target.parts]


def stems_of(name: str) -> frozenset[str]:
    """The stems that a source or a part holds."""
    return WHOLES.get(name, frozenset((name,)))


def forming(stems: frozenset[str], names: Sequence[str]) -> list[int]:
    """The places of the names that add up to just these stems; none if they do not."""
    inside = [place for place, name in enumerate(names) if stems_of(name) <= stems]
    whole = frozenset().union(*(stems_of(names[place]) for place in inside))
    return inside if whole == stems else []


class Heard(NamedTuple):
    """What examples are and what a network hears of them, for the loss of any network.

    Attributes:
        compared: the targets; parts by their place in `truth`.
        features: of the mixes (examples, 4, frames, bins).
        power, truth: the mixes' moments (examples, 3, frames, values) and each part's (examples,
            parts, 3, frames, values), of which the error is made.
        energy: of each target (examples, targets).
        floor: (examples,), added to a target's energy.
    """

    compared: list[Target]
    features: Tensor
    power: Tensor
    truth: Tensor
    energy: Tensor
    floor: Tensor


SCALE = 0.5 * N_FFT * OVERLAP  # of the energy in half a spectrum: Parseval


@torch.no_grad()
def heard(net: MaskNet, stems: Tensor, parts: Sequence[str]) -> Heard:
    """Examples as networks with the sources of `net` hear them.

    stems: float32 (examples, parts, 2, samples), whose sum is the mix.
    """
    stems, compared = merged(stems, targets(net.sources, parts))
    z = net.spectra(stems)[..., :BINS]
    x = z.sum(1)
    m, s = middle_side(x).unbind(1)
    power = torch.stack([summed(product(a, b)) for a, b in ((m, m), (s, s), (m, s))], 1)
    truth = torch.stack([moments(middle_side(part), m, s) for part in z.unbind(1)], 1)
    energy = torch.stack([level(stems[:, target.parts].sum(1)) for target in compared], 1)
    floor = QUIET * level(stems.sum(1)) + 1e-3
    return Heard(compared, features(x), power, truth, energy, floor)


class Asked(NamedTuple):
    """A network's loss as a quadratic form in its masks x: <x, G x> - 2 <x, wanted> + rest.

    Attributes:
        gram: G but for the mix's moments (examples, sources, sources).
        wanted: (examples, sources, 3, frames, values).
        rest: what no mask changes.
    """

    gram: Tensor
    wanted: Tensor
    rest: Tensor


@torch.no_grad()
def asked(net: MaskNet, examples: Heard, emphasis: Mapping[str, float]) -> Asked:
    """All targets at once: however many there are, the work is that of the sources."""
    device = examples.energy.device
    wanted_more = {stems_of(name): weight for name, weight in emphasis.items()}
    weights = torch.tensor([wanted_more.get(t.stems, 1.0) for t in examples.compared],
                           device=device)  # fmt: skip
    weights = weights / weights.sum() / len(examples.energy)
    weights = weights / (examples.energy + examples.floor[:, None])
    sources = membership([t.sources for t in examples.compared], len(net.sources), device)
    parts = membership([t.parts for t in examples.compared], examples.truth.shape[1], device)
    share = torch.einsum("et,ts,tp->esp", weights, sources, parts)
    wanted = (share @ examples.truth.flatten(2)).unflatten(2, examples.truth.shape[2:])
    gram = torch.einsum("et,ts,tr->esr", weights, sources, sources)
    return Asked(gram, wanted, (weights * examples.energy).sum())


def spectral_loss(
    net: MaskNet, examples: Heard, emphasis: Mapping[str, float] = PLAIN, bf16: bool = False
) -> Tensor:
    """Mean over the targets of the squared error over (the target's energy + QUIET of the mix's).

    emphasis: the weights of targets, by the stem's or the sum's name, where others have 1; bf16:
    of the masks' forward.
    """
    gram, wanted, rest = asked(net, examples, emphasis)
    with torch.autocast(wanted.device.type, torch.bfloat16, enabled=bf16):
        masks = net.masks_from(examples.features)
    x = masks.float().permute(2, 0, 1, 3, 4)
    with torch.no_grad():
        guess = torch.bmm(gram, x.flatten(2)).view_as(wanted)
        slope = weighted(examples.power, guess) - wanted
        value = (x * (slope - wanted)).sum() + rest
    # of a quadratic form half the gradient is known with the value: nothing of it is kept
    linear = 2.0 * (x * slope).sum()
    return linear - linear.detach() + value


def weighted(power: Tensor, x: Tensor) -> Tensor:
    """Masks (examples, sources, 3, frames, values) times the mix's moments: half of what
    |aM + cS|^2 + |cM + bS|^2 changes with the masks a, b and c of each source."""
    a, b, c = x.unbind(2)
    m, s, both = power.unsqueeze(1).unbind(2)
    return torch.stack((a * m + c * both, b * s + c * both, (a + b) * both + c * (m + s)), 2)


def product(a: Tensor, b: Tensor) -> Tensor:
    """The real part of a b*."""
    return a.real * b.real + a.imag * b.imag


def moments(part: Tensor, m: Tensor, s: Tensor) -> Tensor:
    """What the error needs of a part (examples, 2, frames, bins) beside the mix's middle and side:
    (examples, 3, frames, values), a row a mask."""
    middle, side = part.unbind(1)
    across = product(middle, s) + product(side, m)
    return torch.stack([summed(x) for x in (product(middle, m), product(side, s), across)], 1)


def level(waves: Tensor) -> Tensor:
    """The energy of waves (examples, 2, samples) as their spectra have it: (examples,)."""
    return SCALE * waves.square().sum((1, 2))


def membership(rows: list[list[int]], width: int, device: torch.device) -> Tensor:
    """Ones (rows, width) at the places that each row names."""
    made = torch.zeros(len(rows), width)
    for row, places in zip(made, rows, strict=True):
        row[places] = 1.0
    return made.to(device)


def merged(stems: Tensor, compared: list[Target]) -> tuple[Tensor, list[Target]]:
    """Adds up parts that are in the same targets: fewer spectra to make."""
    groups: dict[tuple[bool, ...], list[int]] = {}
    for part in range(stems.shape[1]):
        groups.setdefault(tuple(part in t.parts for t in compared), []).append(part)
    if len(groups) == stems.shape[1]:
        return stems, compared
    fewer = torch.stack([stems[:, places].sum(1) for places in groups.values()], 1)
    firsts = [places[0] for places in groups.values()]
    renumbered = [
        target._replace(parts=[row for row, part in enumerate(firsts) if part in target.parts])
        for target in compared
    ]
    return fewer, renumbered
