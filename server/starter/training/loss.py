"""Owns what a mask network learns from: the squared error of its spectra.

Squared error learns the mean, so that a stem which plays half of the time is not silenced; and
where a mask is constant over some bins it needs their sums alone, a third of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from server.engine.bands import BINS, N_FFT, summed
from server.engine.masknet import OVERLAP, MaskNet, middle_side
from server.starter.songs import STEMS

WHOLES = MappingProxyType({
    "instrumental": frozenset(STEMS) - {"vocals"}, "backing": frozenset(STEMS) - {"guitar"},
})  # fmt: skip
# sums of stems that count besides the parts themselves
SUMS = (frozenset(("other", "guitar", "piano")), WHOLES["instrumental"])
VOICE = (frozenset(("vocals",)), WHOLES["instrumental"])
QUIET = 0.1  # of the mix's energy, added to a target's: how much a quiet stem may weigh


class Target(NamedTuple):
    """A sum of stems that is in the loss: which sources form the guess, which parts the truth."""

    sources: list[int]
    parts: list[int]
    voice: bool  # vocals, or all but them


def targets(sources: Sequence[str], parts: Sequence[str]) -> list[Target]:
    """What can be compared where a network has `sources` and an example has `parts`."""
    wanted = [*map(stems_of, parts), *map(stems_of, sources), *SUMS]
    formed = [
        Target(forming(stems, sources), forming(stems, parts), stems in VOICE)
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
        compared: the targets; parts by their place in `truth` and `waves`.
        spectra: of the mixes, complex (examples, 2, frames, bins).
        power, truth: the mixes' and each part's moments, of which the error is made.
        waves: of each part (parts, examples, 2, samples).
        floor: (examples,), added to a target's energy.
    """

    compared: list[Target]
    spectra: Tensor
    power: Tensor
    truth: Tensor
    waves: Tensor
    floor: Tensor


SCALE = 0.5 * N_FFT * OVERLAP  # of the energy in half a spectrum: Parseval


@torch.no_grad()
def heard(net: MaskNet, stems: Tensor, parts: Sequence[str]) -> Heard:
    """Examples as networks with the sources of `net` hear them.

    stems: float32 (examples, parts, 2, samples), whose sum is the mix.
    """
    stems, compared = merged(stems, targets(net.sources, parts))
    z = net.spectra(stems)[..., :BINS].transpose(0, 1)  # parts, examples, 2, frames, bins
    x = z.sum(0)
    m, s = middle_side(x).unbind(1)
    power = torch.stack([summed(product(a, b)) for a, b in ((m, m), (s, s), (m, s))])
    truth = torch.stack([moments(middle_side(part), m, s) for part in z])
    waves = stems.transpose(0, 1)
    floor = QUIET * SCALE * waves.sum(0).square().sum((1, 2)) + 1e-3
    return Heard(compared, x, power, truth, waves, floor)


def spectral_loss(net: MaskNet, examples: Heard, voice: float = 1.0, bf16: bool = False) -> Tensor:
    """Mean over the targets of the squared error over (the target's energy + QUIET of the mix's).

    voice: the weight of vocals and of the instrumental, where the other targets have 1; bf16: of
    the masks' forward.
    """
    with torch.autocast(examples.waves.device.type, torch.bfloat16, enabled=bf16):
        masks = net.masks(examples.spectra)
    masks = masks.float()
    total, weights = torch.zeros((), device=masks.device), 0.0
    for target in examples.compared:
        weight = voice if target.voice else 1.0
        mask, truth = gathered(masks, target.sources), gathered(examples.truth, target.parts)
        energy = SCALE * gathered(examples.waves, target.parts).square().sum((1, 2))
        error = squared_error(mask, examples.power, truth) + energy
        total = total + weight * (error / (energy + examples.floor)).mean()
        weights += weight
    return total / weights


def product(a: Tensor, b: Tensor) -> Tensor:
    """The real part of a b*."""
    return a.real * b.real + a.imag * b.imag


def moments(part: Tensor, m: Tensor, s: Tensor) -> Tensor:
    """What the error needs of a part (examples, 2, frames, bins) beside the mix's middle and side:
    (3, examples, frames, values), a row a mask."""
    middle, side = part.unbind(1)
    across = product(middle, s) + product(side, m)
    return torch.stack([summed(x) for x in (product(middle, m), product(side, s), across)])


def squared_error(mask: Tensor, power: Tensor, truth: Tensor) -> Tensor:
    """|guess - target|^2 - |target|^2, summed up: (examples,).

    mask: (3, examples, frames, values) of the middle, the side, and across; power: |M|^2, |S|^2,
    Re(M S*) of the mix; truth: the target's moments.
    """
    a, b, c = mask.flatten(2)
    m, s, both = power.flatten(2)
    wanted_a, wanted_b, wanted_c = truth.flatten(2)
    # each mask times how the error changes with it: few passes over what fills the memory
    with_a = torch.addcmul(torch.addcmul(-2.0 * wanted_a, a, m), c, both, value=2.0)
    with_b = torch.addcmul(torch.addcmul(-2.0 * wanted_b, b, s), c, both, value=2.0)
    with_c = torch.addcmul(-2.0 * wanted_c, c, m + s)
    dot = torch.linalg.vecdot
    return dot(a, with_a) + dot(b, with_b) + dot(c, with_c)


def gathered(x: Tensor, places: list[int]) -> Tensor:
    """The sum of some of the rows of `x`."""
    return sum((x[place] for place in places[1:]), x[places[0]])


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
