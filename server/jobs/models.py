"""The models that are on this server, for who chooses among them. Loads none."""

import asyncio

from msgspec import Struct

from server.config import Config
from server.engine import catalog
from store import JobRepository

TIERS = ("fast", "balanced", "best", "six_stems")


class InstalledModel(Struct, frozen=True):
    """A model that can be asked for.

    `stems`: what it makes, empty where only loading it would tell; `tiers`: the lists in the
    settings that name it; `seconds_per_second`: what its last jobs took for a second of audio
    while they shared a worker with others, None before there was one; `licence`: None where
    nothing here says it.
    """

    name: str
    family: str | None
    stems: list[str]
    size_bytes: int
    licence: str | None
    tiers: list[str]
    seconds_per_second: float | None


class Models:
    """What is on the search path of one server's settings, and how its jobs did with it."""

    def __init__(self, config: Config, jobs: JobRepository) -> None:
        self._config = config
        self._jobs = jobs

    async def installed(self) -> list[InstalledModel]:
        """Every model that can be loaded, by name."""
        paces = await self._jobs.paces()
        found = await asyncio.to_thread(catalog.installed, self._config)
        return [self._described(files, paces.get(files.name)) for files in found]

    def _described(self, files: catalog.ModelFiles, pace: float | None) -> InstalledModel:
        return InstalledModel(
            name=files.name, family=catalog.family(files),
            stems=list(catalog.stems(files) or ()), size_bytes=files.size,
            licence=catalog.licence(files),
            tiers=[tier for tier in TIERS if files.name in getattr(self._config.models, tier)],
            seconds_per_second=None if pace is None else round(pace, 4),
        )  # fmt: skip
