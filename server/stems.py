"""Which stems each output type has, and how a stem is made of a model's sources. Pure numbers."""

from collections.abc import Sequence
from types import MappingProxyType

from server.errors import ModelError

FOUR = ("drums", "bass", "other", "vocals")
SIX = (*FOUR, "guitar", "piano")
OUTPUTS = MappingProxyType({
    "VOCALS": ("vocals",),
    "INSTRUMENTAL": ("instrumental",),
    "BOTH": ("vocals", "instrumental"),
    "FOUR_STEMS": FOUR,
    "SIX_STEMS": SIX,
})  # fmt: skip
MIX = "the mix"
PARTS_OF_OTHER = ("guitar", "piano")  # of a six-source model, where nobody wants them apart


def wants_six(stems: Sequence[str]) -> bool:
    """Whether these stems need a model of six sources."""
    return any(stem in PARTS_OF_OTHER for stem in stems)


def stem_gains(stems: Sequence[str], model: str, sources: Sequence[str]) -> list[list[float]]:
    """The gains that make the wanted stems of what a model tells apart: (stems, sources + 1).

    The last column is the mix's: `instrumental` is the mix minus the vocals, so that the two add
    up to it exactly. `other` takes in guitar and piano where the model has
    them and they are not wanted for themselves.

    Raises:
        ModelError: a wanted stem has no source in this model.
    """
    gains = [_gains(stem, stems) for stem in stems]
    matrix = [[gain.get(source, 0.0) for source in (*sources, MIX)] for gain in gains]
    lacking = [stem for stem, row in zip(stems, matrix, strict=True) if not any(row[:-1])]
    if lacking:
        raise ModelError(f"model {model} makes no {', '.join(lacking)}")
    return matrix


def _gains(stem: str, wanted: Sequence[str]) -> dict[str, float]:
    if stem == "instrumental":
        return {MIX: 1.0, "vocals": -1.0}
    if stem == "other":
        return dict.fromkeys(("other", *(s for s in PARTS_OF_OTHER if s not in wanted)), 1.0)
    return {stem: 1.0}
