"""Which stems each output type has, and how a track is made of a model's stems. Pure numbers."""

import re
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from server.errors import InvalidRequest, ModelError

FOUR = ("drums", "bass", "other", "vocals")
SIX = (*FOUR, "guitar", "piano")
OUTPUTS = MappingProxyType({
    "VOCALS": ("vocals",),
    "INSTRUMENTAL": ("instrumental",),
    "BOTH": ("vocals", "instrumental"),
    "FOUR_STEMS": FOUR,
    "SIX_STEMS": SIX,
})  # fmt: skip
DEFAULT_OUTPUT: Final = "BOTH"
REST_OF_MIX = "instrumental"  # the mix minus the vocals
PARTS_OF_OTHER = ("guitar", "piano")  # of a six-source model, where nobody wants them apart

STEM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# What other tracks, files and routes of a job are called.
RESERVED = frozenset((
    "mix", "all", "input", "harmonic", "percussive", "main", "main_harmonic", "main_percussive",
))  # fmt: skip
MOST_STEMS = 32  # of one job

# of each stem that a model makes: gains over what its networks put out, and at last over the mix
Recipe = Mapping[str, tuple[float, ...]]


def wants_six(stems: Sequence[str]) -> bool:
    """Whether these stems need a model of six sources."""
    return any(stem in PARTS_OF_OTHER for stem in stems)


def can_make(wanted: Sequence[str], made: Sequence[str] | None) -> bool:
    """Whether a model that makes these stems makes all tracks that are wanted; one of which it is
    not known what it makes is believed to."""
    return made is None or not lacking(wanted, made)


def lacking(wanted: Sequence[str], made: Sequence[str]) -> list[str]:
    """The tracks that are wanted, and cannot be made of these stems."""
    return [stem for stem in wanted
            if not any(part in made for part in _parts(stem, wanted, made))]


def checked_stems(names: Sequence[str]) -> tuple[str, ...]:
    """The stems that somebody asks for by name, each once. Raises InvalidRequest."""
    stems = tuple(dict.fromkeys(names))
    if not 0 < len(stems) <= MOST_STEMS:
        raise InvalidRequest(f"stems must name one to {MOST_STEMS} stems")
    for stem in stems:
        if not STEM.fullmatch(stem) or stem in RESERVED:
            raise InvalidRequest(f"stems: {stem[:64]!r} is no name of a stem")
    return stems


def own_sources(sources: Sequence[str]) -> Recipe:
    """The recipe of a model each of whose sources is a stem."""
    columns = range(len(sources) + 1)
    return {name: tuple(float(place == column) for column in columns)
            for place, name in enumerate(sources)}  # fmt: skip


def stem_gains(stems: Sequence[str], model: str, recipe: Recipe) -> list[list[float]]:
    """The gains that make the wanted stems of what a model puts out: (stems, outputs + 1).

    The last column is the mix's: `instrumental` is the mix minus the vocals, so that the two add
    up to it exactly. `other` takes in guitar and piano where the model has them beside drums, bass
    and other, and they are not wanted for themselves.

    Raises:
        ModelError: the recipe of a wanted stem is not known.
    """
    if missing := lacking(stems, list(recipe)):
        raise ModelError(f"model {model} makes no {', '.join(missing)}")
    parts = {stem: [s for s in _parts(stem, stems, recipe) if s in recipe] for stem in stems}
    rows = {stem: [sum(column) for column in zip(*(recipe[s] for s in found), strict=True)]
            for stem, found in parts.items()}  # fmt: skip
    if parts.get(REST_OF_MIX) == ["vocals"]:
        row = rows[REST_OF_MIX]
        rows[REST_OF_MIX] = [*(0.0 - gain for gain in row[:-1]), 1.0 - row[-1]]
    return list(rows.values())


def _parts(stem: str, wanted: Sequence[str], made: Container[str]) -> tuple[str, ...]:
    """The stems of which a track is the sum; for the instrumental, of which it is what is left,
    unless a model makes it and no vocals.

    `other` of a whole separation is all that is no drums, bass or vocals. That of a model that
    tells the guitar from all the rest is the rest, and has no guitar to take in.
    """
    if stem == REST_OF_MIX:
        return ("vocals",) if "vocals" in made else (REST_OF_MIX,)
    if stem == "other" and all(name in made for name in FOUR if name != "vocals"):
        return ("other", *(s for s in PARTS_OF_OTHER if s not in wanted))
    return (stem,)
