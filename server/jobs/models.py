"""The models that are on this server, for who chooses among them. Loads none."""

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from server.config import Config
from server.engine.library import catalog, choice
from store import JobRepository


class Part(Struct, frozen=True):
    """A model that a preset runs."""

    name: str
    size_bytes: int
    licence: str | None


class InstalledModel(Struct, frozen=True):
    """A model, or a preset of several, that can be asked for.

    `family`: `preset`, where it is one; `stems`: what it makes, empty where only loading it would
    tell; `tiers`: the lists in the settings that name it; `seconds_per_second`: what its last jobs
    took for a second of audio while they shared a worker with others, None before there was one;
    `licence`: of a preset all that its models have, None where nothing here says it; `parts`: a
    preset's models.
    """

    name: str
    family: str | None
    stems: list[str]
    size_bytes: int
    licence: str | None
    tiers: list[str]
    seconds_per_second: float | None
    parts: list[Part] = []


class Models:
    """What is on the search path of one server's settings, and how its jobs did with it."""

    def __init__(self, config: Config, jobs: JobRepository) -> None:
        self._config = config
        self._jobs = jobs

    async def installed(self) -> list[InstalledModel]:
        """Every model that can be loaded, by name, and then every preset."""
        paces = await self._jobs.paces()
        return await asyncio.to_thread(self._all, paces)

    def _all(self, paces: Mapping[str, float]) -> list[InstalledModel]:
        return [self._described(found, paces.get(found.name))
                for found in choice.installed(self._config)]

    def _described(self, found: choice.Choice, pace: float | None) -> InstalledModel:
        lists = self._config.models
        return InstalledModel(
            name=found.name, family=found.family, stems=list(found.stems or ()),
            size_bytes=found.size, licence=found.licence,
            tiers=[tier for tier in choice.TIERS if found.name in getattr(lists, tier)],
            seconds_per_second=None if pace is None else round(pace, 4),
            parts=[] if found.layout is None else [
                Part(files.name, files.size, catalog.licence(files)) for files in found.models],
        )  # fmt: skip
