"""Owns what the starter is made of: the arguments of its mask networks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import MappingProxyType

from server.engine.masknet import MaskNet
from server.starter.songs import STEMS

SEGMENT = Fraction(117, 20)  # seconds: as the first starter has, so that a bag can hold both
SIZES = MappingProxyType({
    "small": dict(channels=48, blocks=6, dim=256, layers=2, segment=SEGMENT),
    # for vocals, from which other stems may be told as well: half as much again
    "wide": dict(channels=64, blocks=8, dim=256, layers=3, segment=SEGMENT),
    # for a card: three times the work
    "large": dict(channels=72, blocks=10, dim=384, layers=4, segment=SEGMENT),
})  # fmt: skip


def build_model(size: str = "small", sources: Sequence[str] = STEMS, **changes: object) -> MaskNet:
    """A fresh network of a row of SIZES, some of its arguments changed."""
    arguments: dict[str, object] = {**SIZES[size], **changes}
    return MaskNet(list(sources), **arguments)  # type: ignore[arg-type]
