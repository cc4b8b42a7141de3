"""The models of a server, as clients see them."""

from collections.abc import Iterable

from msgspec import structs

from server.api.ports import InstalledModel
from server.api.v1.wire.common import Camel


class ModelItem(Camel, frozen=True):
    """One model. `stems`: what may be asked for with `stems`; `tiers`: the lists in the server's
    settings that name it; `secondsPerSecond`: what its last jobs took for a second of audio, null
    before there was one; `licence`: null where it is not known."""

    name: str
    family: str | None
    stems: list[str]
    size_bytes: int
    licence: str | None
    tiers: list[str]
    seconds_per_second: float | None


class ModelsListResponse(Camel, frozen=True):
    """`GET /models`."""

    models: list[ModelItem]


def models_list(models: Iterable[InstalledModel]) -> ModelsListResponse:
    """All models, by name."""
    return ModelsListResponse(models=[ModelItem(**structs.asdict(model)) for model in models])
