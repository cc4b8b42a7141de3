"""Owns what the starter is: the arguments of its HTDemucs, and how one begins from another."""

from __future__ import annotations

from fractions import Fraction
from types import MappingProxyType

import torch
from demucs.htdemucs import HTDemucs

from server.starter.songs import STEMS

SIZES = MappingProxyType({
    # Stride 8 in three layers where the full-size model has stride 4 in four: on a CPU, time goes
    # by the first layer's positions, of which this leaves half, and allows more channels there.
    "small": dict(channels=40, growth=2, depth=3, stride=8, kernel_size=16, dconv_depth=1,
                  dconv_init=0.1, t_layers=3, t_heads=4, segment=Fraction(117, 20)),
    # For a card, within 12 M parameters: the full-size model's layers, narrower.
    "large": dict(channels=32, growth=2, depth=4, dconv_init=0.1, t_layers=4, t_heads=8,
                  segment=Fraction(39, 5)),
})  # fmt: skip


def build_model(size: str = "small", **changes: object) -> HTDemucs:
    """A fresh HTDemucs of a row of SIZES for STEMS at 44.1 kHz, some of its arguments changed."""
    return HTDemucs(list(STEMS), samplerate=44100, **{**SIZES[size], **changes})


def inherit(model: HTDemucs, donor: HTDemucs) -> None:
    """Start `model` from the weights of a `donor` that differs in its sources at most.

    A source that the donor lacks begins as an equal share of its `other`, and so does the rest
    of that: together they say what the donor would, but for the mix's mean, which HTDemucs adds
    to each. Raises RuntimeError if the sizes differ.
    """
    mine, theirs = list(model.sources), list(donor.sources)
    origin = [theirs.index(s if s in theirs else "other") for s in mine]
    share = torch.tensor([1.0 / origin.count(o) for o in origin])
    weights = donor.state_dict()
    # of the last layers, the channels that come out are source by source
    for branch in ("decoder", "tdecoder"):
        last = f"{branch}.{len(getattr(model, branch)) - 1}.conv_tr"
        for name, axis in ((f"{last}.weight", 1), (f"{last}.bias", 0)):
            given = weights[name].unflatten(axis, (len(theirs), -1))
            given = given.index_select(axis, torch.tensor(origin))
            given = given * share.reshape([-1 if i == axis else 1 for i in range(given.dim())])
            weights[name] = given.flatten(axis, axis + 1)
    model.load_state_dict(weights)
