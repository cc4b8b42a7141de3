"""The models of a server, as clients see them."""

from collections.abc import Iterable

import msgspec

from server.api.ports import InstalledModel
from server.api.v1.wire.common import Camel


class PartItem(Camel, frozen=True):
    """A model that a preset runs."""

    name: str
    size_bytes: int
    licence: str | None


class ModelItem(Camel, frozen=True):
    """One model, or a preset: models in a row, or the mean of several, by the server's settings.
    `family`: `preset` of such; `parts`: a preset's models, whose sizes and licences are its own;
    `stems`: what may be asked for with `stems`; `tiers`: the lists in the server's
    settings that name it; `secondsPerSecond`: what its last jobs took for a second of audio, null
    before there was one; `licence`: null where it is not known."""

    name: str
    family: str | None
    stems: list[str]
    size_bytes: int
    licence: str | None
    tiers: list[str]
    seconds_per_second: float | None
    parts: list[PartItem]


class ModelsListResponse(Camel, frozen=True):
    """`GET /models`."""

    models: list[ModelItem]


def models_list(models: Iterable[InstalledModel]) -> ModelsListResponse:
    """All models, by name, and then the presets."""
    items = [msgspec.convert(model, ModelItem, from_attributes=True) for model in models]
    return ModelsListResponse(models=items)
