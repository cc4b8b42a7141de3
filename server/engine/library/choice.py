"""What makes an order's stems: a model, or a preset of several. Which one serves a tier, and which
an order that names it, or stems. Loads none: no torch.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from server.config import Config, Quality
from server.engine.library import catalog
from server.engine.library.catalog import ModelFiles
from server.errors import ConfigError, InvalidRequest, ModelError, StemboxError
from server.presets import NAME, Layout, lay_out
from server.presets.inferences import Inference, inferences_of
from server.stems import FOUR, SIX, can_make, lacking, wants_six
from server.work.messages import Format, Options

PRESET = "preset"
TIERS = ("fast", "balanced", "best", "six_stems")


class Choice(Struct, frozen=True):
    """A model, or a preset.

    Attributes:
        name: what orders, settings and people call it.
        stems: what it makes; of a model, None where that cannot be told without loading it.
        models: the files of its models, each once.
        layout: what a preset does with them; None for a model.
    """

    name: str
    stems: tuple[str, ...] | None
    models: tuple[ModelFiles, ...]
    layout: Layout | None = None

    @property
    def family(self) -> str | None:
        """Of a model, None where it cannot be told without loading it."""
        return PRESET if self.layout is not None else catalog.family(self.models[0])

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return sum(model.size for model in self.models)

    @property
    def licence(self) -> str | None:
        """Of the weights: all that there are of its models. None where one is not known."""
        found = [catalog.licence(model) for model in self.models]
        known = [licence for licence in dict.fromkeys(found) if licence is not None]
        return ", ".join(known) if None not in found else None


class Work(NamedTuple):
    """How stems are made: the fields of `Options` that say so."""

    model: str
    overlap: float
    inferences: tuple[Inference, ...]


def work(choice: Choice, wanted: Sequence[str], quality: Quality, config: Config) -> Work:
    """How a choice makes these stems in a quality."""
    if choice.layout is None:
        return Work(choice.name, catalog.overlap(choice.name, quality, config), ())
    overlap = partial(catalog.overlap, quality=quality, config=config)
    inferences = inferences_of(choice.layout, wanted, overlap)
    return Work(choice.name, config.models.tier(quality)[1], inferences)


def options(
    choice: Choice, stems: tuple[str, ...], quality: Quality, config: Config, *,
    file_name: str, samples: str, form: Format = "WAV",
) -> Options:  # fmt: skip
    """How a choice makes these stems in a quality, and all else that a job has of the settings.

    form, samples: the format of its tracks, and what they consist of.
    """
    return Options(
        **work(choice, stems, quality, config)._asdict(),
        file_name=file_name, format=form, wav_format=samples, stems=stems,
        target_lufs=config.pipeline.target_lufs, true_peak_dbtp=config.pipeline.true_peak_dbtp,
        max_seconds=config.limits.max_audio_seconds,
    )  # fmt: skip


def resolve(name: str, config: Config) -> Choice:
    """The model or the preset of this name.

    Raises:
        ModelError: it, or a model of it, is not on this machine or cannot be used.
        ConfigError: the preset's models do not make what its steps take of them.
    """
    if (preset := config.presets.get(name)) is None:
        return _of_model(name, config)
    files = {model: _of_model(model, config) for model in preset.models}
    made = {}
    for model, part in files.items():
        if part.stems is None:
            raise ModelError(f"what model {model} makes is not known until it is loaded")
        made[model] = part.stems
    layout = lay_out(name, preset, made)
    return Choice(name, layout.offers, tuple(part.models[0] for part in files.values()), layout)


def find(name: str, config: Config) -> Choice | None:
    """The same, None if it is not here."""
    try:
        return resolve(name, config)
    except (ModelError, ConfigError):
        return None


def check(config: Config) -> None:
    """Raises ConfigError: a preset has a model's name, or takes what its models do not make."""
    for name in config.presets:
        if catalog.find(name, config) is not None:
            raise ConfigError(f"settings: presets.{name}: a model has this name")
        try:
            resolve(name, config)
        except ModelError:
            continue  # it is not whole, and not used


def serving(quality: Quality, config: Config, wanted: Sequence[str] = FOUR) -> Choice:
    """What makes the stems `wanted` in a quality: the first of its tier's list that is here and
    makes them.

    Raises:
        ModelError: none of them is.
    """
    six = wants_six(wanted)
    names = config.models.six_stems if six else config.models.tier(quality)[0]
    for name in names:
        found = find(name, config)
        if found is not None and can_make(wanted, found.stems):
            return found
    purpose = "six stems" if six else quality
    raise ModelError(
        f"none of the models for {purpose} is on this machine and makes {', '.join(wanted)}: "
        f"{', '.join(names)}; "
        "`stembox models pull NAME` fetches one"
    )


def making(
    wanted: Sequence[str], quality: Quality, config: Config, model: str | None = None
) -> Choice:
    """What makes the stems `wanted`: the model or preset that is named, or else the first of the
    tier's list that makes them all, of the list for six stems, or of all that are here, by name.

    Raises:
        InvalidRequest: it is not here, or none makes them.
    """
    missing = list(wanted)
    for found in _listed(quality, config) if model is None else [_named(model, config)]:
        able = found.stems
        # What it makes may only be told by loading it: then whoever names it is believed.
        if (able is not None or model is not None) and can_make(wanted, able):
            return found
        missing = [stem for stem in lacking(wanted, able or ()) if stem in missing]
    if missing:
        raise InvalidRequest(
            f"{model or 'No model here'} makes {'no ' * bool(model)}{', '.join(missing)}"
        )
    raise InvalidRequest(f"No model here makes all of {', '.join(wanted)}")


def revalidated(name: str, wanted: Sequence[str], config: Config) -> Choice:
    """What was chosen for these stems earlier, looked at again. Raises ModelError: it is gone, or
    another model has its name that does not make them."""
    found = find(name, config)
    if found is None or not can_make(wanted, found.stems):
        raise ModelError(f"model {name} has been replaced or removed meanwhile")
    return found


def starter(config: Config) -> Choice:
    """The model that ships. Raises ModelError: somebody has removed it."""
    return _chosen(catalog.starter(config))


def installed(config: Config) -> list[Choice]:
    """All that may be asked for: every whole model on the search path, and every whole preset; by
    name, presets last."""
    models = (
        _chosen(files) for files in catalog.installed(config) if files.name not in config.presets
    )
    presets = (find(name, config) for name in sorted(config.presets))
    return [*models, *(preset for preset in presets if preset is not None)]


class Refused(NamedTuple):
    """A model, or a preset, that is not used, and why. folder: of a model."""

    name: str
    reason: str
    folder: Path | None = None


def refused(config: Config) -> list[Refused]:
    """What somebody might look for among the installed ones."""
    found = [Refused(model.name, reason, model.folder) for model, reason in catalog.refused(config)]
    found += [
        Refused(model.name, "a preset has its name", model.folder)
        for model in catalog.installed(config)
        if model.name in config.presets
    ]
    found += [Refused(folder.name, "models.folders names it, and there is no such folder", folder)
              for folder in catalog.configured(config) if not folder.is_dir()]  # fmt: skip
    for name in sorted(config.presets):
        try:
            resolve(name, config)
        except StemboxError as error:
            found.append(Refused(name, error.message))
    return found


def tiers(config: Config) -> dict[str, dict[str, str | None]]:
    """For people: each tier's wanted model or preset, and the one that serves it."""
    table: dict[str, dict[str, str | None]] = {}
    for tier in TIERS:
        names: list[str] = getattr(config.models, tier)
        needed = SIX if tier == "six_stems" else FOUR
        here = next((name for name in names if (found := find(name, config)) is not None
                     and can_make(needed, found.stems)), None)  # fmt: skip
        table[tier] = {"wanted": names[0], "serving": here}
    return table


def _of_model(name: str, config: Config) -> Choice:
    files = catalog.find(name, config)
    if files is None:
        raise ModelError(catalog.why_not(name, config))
    return _chosen(files)


def _chosen(files: ModelFiles) -> Choice:
    return Choice(files.name, catalog.stems(files), (files,))


def _named(model: str, config: Config) -> Choice:
    found = find(model, config) if NAME.fullmatch(model) else None
    if found is None:
        raise InvalidRequest(f"model {model[:64]!r} is not on this server")
    return found


def _listed(quality: Quality, config: Config) -> Iterator[Choice]:
    """What may be chosen, in order of preference. What no list names comes last, and is looked for
    only then: that reads the disk."""
    listed = dict.fromkeys((*config.models.tier(quality)[0], *config.models.six_stems))
    others = (
        name for name in (*catalog.names(config), *sorted(config.presets)) if name not in listed
    )
    for name in (*listed, *others):
        if (found := find(name, config)) is not None:
            yield found
