"""A multichannel Wiener filter: what the stems' places between the channels tell about them.

A mask network says how loud each stem is in every bin. Where a stem comes from, left or right,
stays much the same over a segment, and a mask that is blind to it takes in whatever is as loud
there. The filter is the one of Duong, Vincent and Gribonval (2010), in one step (Nugraha, Liutkus
and Vincent, 2016), with magnitudes in place of powers: those favour what is loud anyway.
"""

import torch
from torch import Tensor

RIDGE = 1e-3  # of a stem's mean power: as much of it comes from everywhere
TINY = 1e-30  # keeps quotients of silence finite


def refined(z: Tensor, made: Tensor, shares: Tensor) -> Tensor:
    """The stems that the filter makes of others, which add up to the mix.

    Args:
        z: complex (segments, 2, frames, bins), the mix.
        made: complex (segments, stems, 2, frames, bins), which add up to it.
        shares: (stems,) from 0 to 1, not all 0: how much of the filter's answer goes into each; a
            stem whose share is 0 stays as it is.
    """
    left, right = made.unbind(2)
    level = (0.5 * (_power(left) + _power(right))).sqrt()  # segments, stems, frames, bins
    inside = level.sum(2) + TINY
    of_left, of_right = _power(left).sum(2) / inside, _power(right).sum(2) / inside
    both = (left * right.conj()).sum(2) / inside  # segments, stems, bins
    spread = 0.5 * RIDGE * (of_left + of_right)
    of_left, of_right = of_left + spread, of_right + spread
    a, d = (torch.einsum("bstf,bsf->btf", level, part) for part in (of_left, of_right))
    b = torch.einsum("bstf,bsf->btf", level.to(both.dtype), both)
    determinant = (a * d - _power(b)).clamp_min(TINY)
    x, y = z.unbind(1)
    x, y = (d * x - b * y) / determinant, (a * y - b.conj() * x) / determinant
    x, y, both = x[:, None], y[:, None], both[:, :, None]
    found = torch.stack((level * (of_left[:, :, None] * x + both * y),
                         level * (both.conj() * x + of_right[:, :, None] * y)), 2)  # fmt: skip
    made = made + shares[:, None, None, None] * (found - made)
    missing = (z - made.sum(1))[:, None]
    return made + (shares / shares.sum())[:, None, None, None] * missing


def _power(z: Tensor) -> Tensor:
    return z.real.square() + z.imag.square()
