"""Which stems each output type has, and how a track is made of a model's stems. Pure numbers."""

import re
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from server.errors import InvalidRequest, ModelError
from server.tracks import DERIVED, MIX

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

# What models tell apart of a track that others have whole, as the page's `base/tracks.ts` has it.
PARTS = MappingProxyType({
    "vocals": ("lead", "backing", "lead_vocals", "backing_vocals"),
    "instrumental": ("drums", "bass", "other", *PARTS_OF_OTHER),
    "drums": ("kick", "snare", "toms", "hh", "hihat", "ride", "crash", "cymbals"),
})  # fmt: skip

STEM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# What other tracks, files and routes of a job are called.
RESERVED = DERIVED | {MIX, "all", "input"}
MOST_STEMS = 32  # of one job

# of each stem that a model makes: gains over what its networks put out, and at last over the mix
Recipe = Mapping[str, tuple[float, ...]]


def wants_six(stems: Sequence[str]) -> bool:
    """Whether these stems need a model of six sources."""
    return any(stem in PARTS_OF_OTHER for stem in stems)


def can_make(wanted: Sequence[str], made: Sequence[str] | None) -> bool:
    """Whether a model that makes the stems `made` gives every track that is wanted. None: it is not
    known what it makes, and it is assumed to."""
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


def heard_at_first(stems: Sequence[str], inside: Container[str] = ()) -> list[str]:
    """The stems that are all of the song, each sound once, where there are such; else all but the
    parts of others. `inside`: parts of `other` that are still in it."""
    if set(FOUR) <= set(stems):
        chosen = set(SIX)
    elif set(OUTPUTS["BOTH"]) <= set(stems):
        chosen = set(OUTPUTS["BOTH"])
    else:
        chosen = set(stems) - _within(stems)
    return [stem for stem in stems
            if stem in chosen and not ("other" in stems and stem in inside)]  # fmt: skip


def _within(stems: Sequence[str]) -> set[str]:
    """The parts of these stems, and theirs."""
    parts = [part for stem in stems for part in PARTS.get(stem, ())]
    return {*parts, *_within(parts)} if parts else set()


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
    return [mixed(terms(stem, stems, recipe), recipe) for stem in stems]


def terms(stem: str, wanted: Sequence[str], made: Container[str]) -> dict[str, float]:
    """What a track is made of, if these stems are made and these tracks wanted: gains of stems, and
    of the mix. Empty: it cannot be made."""
    parts = [part for part in _parts(stem, wanted, made) if part in made]
    if stem == REST_OF_MIX and parts == ["vocals"]:
        return {"vocals": -1.0, MIX: 1.0}
    return dict.fromkeys(parts, 1.0)


def mixed(gains: Mapping[str, float], recipe: Recipe) -> list[float]:
    """One row of gains over what a model puts out, and at last over the mix, of gains of its stems
    and of the mix."""
    row = [0.0] * len(next(iter(recipe.values())))
    for stem, gain in gains.items():
        if stem == MIX:
            row[-1] += gain
        else:
            row = [total + gain * part for total, part in zip(row, recipe[stem], strict=True)]
    return row


def _parts(stem: str, wanted: Sequence[str], made: Container[str]) -> tuple[str, ...]:
    """The stems that a track is made of: as a rule the stem of its name.

    The instrumental is the mix less the vocals, unless the model makes it and no vocals. `other`
    of a whole separation is all but drums, bass and vocals: guitar and piano are added to it where
    the model makes them and nobody wants them. A model that tells the guitar alone from the rest
    has no guitar to add to its `other`.
    """
    if stem == REST_OF_MIX:
        return ("vocals",) if "vocals" in made else (REST_OF_MIX,)
    if stem == "other" and all(name in made for name in FOUR if name != "vocals"):
        return ("other", *(s for s in PARTS_OF_OTHER if s not in wanted))
    return (stem,)
