"""What the settings say of a preset, and what it makes of what its models make."""

import re
from collections.abc import Container, Mapping, Sequence
from itertools import chain
from math import inf

from msgspec import Struct

from server.errors import ConfigError
from server.stems import MOST_STEMS, RESERVED, REST_OF_MIX, STEM, lacking
from server.tracks import MIX

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of a model, and of a preset
MOST_STEPS = 16


class Step(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model, or the mean of several, on the mix or on a stem of an earlier step.

    stems: what it makes: names as the models have them; or a table of new names, each with what of
    the models' it is, or is the sum of; None: all that all of its models make.
    weights: of each model, for all stems or stem by stem; None, or no such stem: all the same.
    """

    model: str | list[str]
    input: str = MIX
    stems: list[str] | dict[str, str | list[str]] | None = None
    weights: list[float] | dict[str, list[float]] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it runs."""
        return (self.model,) if isinstance(self.model, str) else tuple(self.model)

    @property
    def sources(self) -> dict[str, tuple[str, ...]] | None:
        """Of each stem by its name here, the models' stems that it is the sum of."""
        if self.stems is None:
            return None
        if isinstance(self.stems, list):
            return {stem: (stem,) for stem in self.stems}
        return {stem: (of,) if isinstance(of, str) else tuple(of)
                for stem, of in self.stems.items()}  # fmt: skip


class Preset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Steps, one after the other. stems: what may be asked for, which beside the vocals may be the
    rest of the mix; None: all that no step goes on with."""

    steps: list[Step]
    stems: list[str] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """All models that it runs, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(step.models for step in self.steps)))


class Stage(Struct, frozen=True):
    """A step as it is laid out. sources: of each of its stems, the models' stems of which it is
    the sum; weights: of each stem, the models' shares of it, which add up to 1."""

    models: tuple[str, ...]
    input: str
    sources: dict[str, tuple[str, ...]]
    weights: dict[str, tuple[float, ...]]


class Layout(Struct, frozen=True):
    """A preset whose models are known. offers: what may be asked for; made: all that each model
    makes."""

    stages: tuple[Stage, ...]
    offers: tuple[str, ...]
    made: dict[str, tuple[str, ...]]


def check(presets: Mapping[str, Preset]) -> None:
    """Raises ConfigError: one makes no sense, whatever its models are."""
    for name, preset in presets.items():
        if not NAME.fullmatch(name):
            raise _wrong(name, "its name may have letters, digits, - and _")
        if not 0 < len(preset.steps) <= MOST_STEPS:
            raise _wrong(name, f"want one to {MOST_STEPS} steps")
        for number, step in enumerate(preset.steps, 1):
            _check_step(f"{name}, step {number}", step, presets)
        if all(step.stems is not None for step in preset.steps):
            _laid_out(name, preset, [step.sources or {} for step in preset.steps])


def lay_out(name: str, preset: Preset, made: Mapping[str, Sequence[str]]) -> Layout:
    """A preset, given what each of its models makes. Raises ConfigError: that does not fit."""
    sources = []
    for number, step in enumerate(preset.steps, 1):
        own = step.sources
        if own is None:
            common = [stem for stem in made[step.models[0]]
                      if STEM.fullmatch(stem) and stem not in RESERVED
                      and all(stem in made[model] for model in step.models)]  # fmt: skip
            own = {stem: (stem,) for stem in common}
        _check_weighted(f"{name}, step {number}", step, own)
        for stem, weights in _weights(step, own).items():
            for model, weight in zip(step.models, weights, strict=True):
                if weight and (missing := lacking(own[stem], made[model])):
                    raise _wrong(
                        f"{name}, step {number}", f"model {model} makes no {', '.join(missing)}"
                    )
        if not own:
            raise _wrong(f"{name}, step {number}", "its models make no stem in common")
        sources.append(own)
    offers = _laid_out(name, preset, sources)
    stages = tuple(
        Stage(step.models, step.input, own, _weights(step, own))
        for step, own in zip(preset.steps, sources, strict=True)
    )
    return Layout(stages, offers, {model: tuple(stems) for model, stems in made.items()})


def _check_step(place: str, step: Step, presets: Mapping[str, Preset]) -> None:
    for model in step.models:
        if not NAME.fullmatch(model):
            raise _wrong(place, f"{model!r:.80} is no name of a model")
        if model in presets:
            raise _wrong(place, f"{model} is a preset: a step runs models")
    if not step.models or len(set(step.models)) != len(step.models):
        raise _wrong(place, "want one model or several, each once")
    known = step.sources
    if known is not None and not known:
        raise _wrong(place, "it makes no stem")
    for stem, of in (known or {}).items():
        for name in (stem, *of):
            if not STEM.fullmatch(name) or name == MIX:
                raise _wrong(place, f"{name!r:.80} is no name of a stem")
        if stem in RESERVED:
            raise _wrong(place, f"{stem} is what another track of a job is called")
        if not of or len(set(of)) != len(of):
            raise _wrong(place, f"{stem} is of one stem of the model, or of several, each once")
    if known is not None:
        _check_weighted(place, step, known)
    rows = step.weights.values() if isinstance(step.weights, dict) else [step.weights]
    for row in rows:
        if row is None:
            continue
        if len(row) != len(step.models):
            raise _wrong(place, f"want a weight for each of {len(step.models)} models")
        if not all(weight >= 0 for weight in row) or not 0 < sum(row) < inf:
            raise _wrong(place, "weights are 0 or more, and not all 0")


def _check_weighted(place: str, step: Step, made: Container[str]) -> None:
    for stem in step.weights if isinstance(step.weights, dict) else ():
        if stem not in made:
            raise _wrong(place, f"weights of {stem:.80}, which it does not make")


def _laid_out(
    name: str, preset: Preset, sources: Sequence[Mapping[str, Sequence[str]]]
) -> tuple[str, ...]:
    """What it offers. Raises ConfigError: stems of one name, or an input that is not there yet."""
    made: dict[str, None] = {}
    for number, (step, own) in enumerate(zip(preset.steps, sources, strict=True), 1):
        place = f"{name}, step {number}"
        if step.input != MIX and step.input not in made:
            raise _wrong(
                place,
                f"its input {step.input!r:.80} is neither {MIX!r} nor a stem of an earlier step",
            )
        for stem in own:
            if stem in made:
                raise _wrong(place, f"an earlier step makes {stem}, too: give it another name")
        made |= dict.fromkeys(own)
    if preset.stems is None:
        taken = {step.input for step in preset.steps}
        offers = tuple(stem for stem in made if stem not in taken)
    else:
        offers = tuple(dict.fromkeys(preset.stems))
    for stem in offers:
        if stem not in made and not (stem == REST_OF_MIX and "vocals" in offers):
            raise _wrong(name, f"no step makes {stem!r:.80}")
    if not 0 < len(offers) <= MOST_STEMS:
        raise _wrong(name, f"want one to {MOST_STEMS} stems that may be asked for")
    return offers


def _weights(step: Step, stems: Mapping[str, object]) -> dict[str, tuple[float, ...]]:
    """Of each stem, the models' shares."""
    even = [1.0] * len(step.models)
    given = step.weights or even
    rows = {stem: given.get(stem, even) if isinstance(given, dict) else given for stem in stems}
    return {stem: tuple(weight / sum(row) for weight in row) for stem, row in rows.items()}


def _wrong(place: str, reason: str) -> ConfigError:
    return ConfigError(f"settings: presets.{place}: {reason}")
