"""A multichannel Wiener filter: what the stems' places between the channels tell about them.

A mask network says how loud each stem is in every bin. Where a stem comes from, left or right,
stays much the same over a segment, and a mask that is blind to it takes in whatever is as loud
there. The filter is the one of Duong, Vincent and Gribonval (2010), in one step (Nugraha, Liutkus
and Vincent, 2016), with magnitudes in place of powers: those favour what is loud anyway.
"""

from typing import NamedTuple

import torch
from torch import Tensor

RIDGE = 1e-3  # of a stem's mean power: as much of it comes from everywhere
TINY = 1e-30  # keeps quotients of silence finite


def refine(z: Tensor, made: Tensor, shares: Tensor) -> None:
    """Filters stems in place; they then add up to the mix.

    Stem by stem, which takes little memory beside them.

    Args:
        z: complex (segments, 2, frames, bins), the mix.
        made: complex (segments, stems, 2, frames, bins), which add up to it.
        shares: (stems,) from 0 to 1, not all 0: how much of the filter's answer goes into each; a
            stem whose share is 0 stays as it is.
    """
    stems = made.unbind(1)
    places = [_place(stem) for stem in stems]
    a, d, b = (torch.zeros_like(part) for part in (z[:, 0].real, z[:, 0].real, z[:, 0]))
    for place in places:
        a += place.level * place.left
        d += place.level * place.right
        b += place.level * place.both
    over = 1 / (a * d - _power(b)).clamp_min(TINY)
    x, y = z.unbind(1)
    x, y = over * (d * x - b * y), over * (a * y - b.conj() * x)
    missing = z.clone()
    for stem, place, share in zip(stems, places, shares, strict=True):
        found = torch.stack((place.left * x + place.both * y,
                             place.both.conj() * x + place.right * y), 1)  # fmt: skip
        stem += share * (place.level[:, None] * found - stem)
        missing -= stem
    for stem, gain in zip(stems, shares / shares.sum(), strict=True):
        stem += gain * missing


class _Place(NamedTuple):
    """A stem's level in every bin, (segments, frames, bins), and over it its covariance between
    the channels, (segments, 1, bins): of the left, of the right, left by right's conjugate."""

    level: Tensor
    left: Tensor
    right: Tensor
    both: Tensor


def _place(stem: Tensor) -> _Place:
    """Of (segments, 2, frames, bins)."""
    left, right = stem.unbind(1)
    of_left, of_right = _power(left), _power(right)
    level = (0.5 * (of_left + of_right)).sqrt()
    over = 1 / (level.sum(1, keepdim=True) + TINY)
    mean_left, mean_right = (over * part.sum(1, keepdim=True) for part in (of_left, of_right))
    spread = 0.5 * RIDGE * (mean_left + mean_right)
    both = over * (left * right.conj()).sum(1, keepdim=True)
    return _Place(level, mean_left + spread, mean_right + spread, both)


def _power(z: Tensor) -> Tensor:
    return z.real.square() + z.imag.square()
