"""Which stems each output type has, and how a track is made of a model's stems. Pure numbers."""

from collections.abc import Mapping, Sequence
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
REST_OF_MIX = "instrumental"  # the mix minus the vocals
PARTS_OF_OTHER = ("guitar", "piano")  # of a six-source model, where nobody wants them apart

# of each stem that a model makes: gains over what its networks put out, and at last over the mix
Recipe = Mapping[str, tuple[float, ...]]


def wants_six(stems: Sequence[str]) -> bool:
    """Whether these stems need a model of six sources."""
    return any(stem in PARTS_OF_OTHER for stem in stems)


def can_make(wanted: Sequence[str], made: Sequence[str] | None) -> bool:
    """Whether a model that makes these stems makes all tracks that are wanted; one of which it is
    not known what it makes is believed to."""
    return made is None or all(
        any(part in made for part in _parts(stem, wanted)) for stem in wanted
    )


def own_sources(sources: Sequence[str]) -> Recipe:
    """The recipe of a model each of whose sources is a stem."""
    columns = range(len(sources) + 1)
    return {name: tuple(float(place == column) for column in columns)
            for place, name in enumerate(sources)}  # fmt: skip


def stem_gains(stems: Sequence[str], model: str, recipe: Recipe) -> list[list[float]]:
    """The gains that make the wanted stems of what a model puts out: (stems, outputs + 1).

    The last column is the mix's: `instrumental` is the mix minus the vocals, so that the two add
    up to it exactly. `other` takes in guitar and piano where the model has
    them and they are not wanted for themselves.

    Raises:
        ModelError: the recipe of a wanted stem is not known.
    """
    parts = {stem: [s for s in _parts(stem, stems) if s in recipe] for stem in stems}
    if lacking := [stem for stem, found in parts.items() if not found]:
        raise ModelError(f"model {model} makes no {', '.join(lacking)}")
    rows = {stem: [sum(column) for column in zip(*(recipe[s] for s in found), strict=True)]
            for stem, found in parts.items()}  # fmt: skip
    if row := rows.get(REST_OF_MIX):
        rows[REST_OF_MIX] = [*(0.0 - gain for gain in row[:-1]), 1.0 - row[-1]]
    return list(rows.values())


def _parts(stem: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """The stems of which a track is the sum; for the instrumental, of which it is what is left."""
    if stem == REST_OF_MIX:
        return ("vocals",)
    if stem == "other":
        return ("other", *(s for s in PARTS_OF_OTHER if s not in wanted))
    return (stem,)
