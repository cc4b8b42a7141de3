"""Whether this server can take new work, and what is in the way: for those who send requests to it.

What is quick to know is looked up when somebody asks; disk and database are tried now and then, so
that an answer never waits for either.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from server.errors import DiskFull, ServerBusy, StemboxError
from server.jobs.disk.folders import free_percent
from server.work.workers import POOLS, Workers

log = structlog.get_logger()
CHECK_SECONDS = 5.0  # between two looks at disk and database
PATIENCE = 2.0  # seconds until what does not answer counts as broken
Check = Callable[[], Awaitable[object]]


class Health:
    """What is in the way of new work at the moment.

    Args:
        checks: by name, what raises where something does not work: the database, the disk.
    """

    def __init__(self, workers: Workers, checks: dict[str, Check]) -> None:
        self._workers = workers
        self._checks = checks
        self._broken: dict[str, str] = {}
        self._loops: list[asyncio.Task[None]] = []

    def watch(self, loop: asyncio.Task[None]) -> None:
        """Counts a loop that should run as long as the process."""
        self._loops.append(loop)
        loop.add_done_callback(_tell_end)

    @property
    def alive(self) -> bool:
        """Whether all loops run: those that do not, come back with another process alone."""
        return not any(loop.done() for loop in self._loops)

    def problems(self) -> list[str]:
        """What keeps the server from new work, as sentences; none where all is well."""
        found = [problem for pool in POOLS if (problem := self._problem(pool))]
        found += self._broken.values()
        if not self.alive:
            found.append("A part of the server has stopped")
        return found

    def _problem(self, pool: str) -> str:
        try:
            self._workers.check_breaker(pool)
        except ServerBusy as error:
            return error.message
        return "" if self._workers.ready(pool) else f"No {pool} worker is ready"

    async def run(self) -> None:
        """Tries disk and database until cancelled."""
        await asyncio.gather(*(self._keep_checking(name) for name in self._checks))

    async def _keep_checking(self, name: str) -> None:
        while True:
            began = time.monotonic()
            check = asyncio.ensure_future(self._checks[name]())
            try:
                if not (await asyncio.wait([check], timeout=PATIENCE))[0]:
                    self._note(name, f"The {name} does not answer")
                    await asyncio.wait([check])  # a second one would wait behind it
            finally:
                check.cancel()
            error = check.exception()
            self._note(name, _sentence(name, error), error)
            await asyncio.sleep(max(0.0, CHECK_SECONDS - (time.monotonic() - began)))

    def _note(self, name: str, problem: str, error: BaseException | None = None) -> None:
        if problem and self._broken.get(name) != problem:
            log.error("not healthy", problem=problem, reason=repr(error))
        elif not problem and name in self._broken:
            log.info("healthy again", part=name)
        self._broken.pop(name, None)
        if problem:
            self._broken[name] = problem


def check_disk(folder: Path, percent: float) -> None:
    """Raises DiskFull where less than this share of a folder's disk is free."""
    if free_percent(folder) < percent:
        raise DiskFull("The server's disk is almost full; no new work is accepted")


def _sentence(name: str, error: BaseException | None) -> str:
    if error is None:
        return ""
    return error.message if isinstance(error, StemboxError) else f"The {name} does not work"


def _tell_end(loop: asyncio.Task[None]) -> None:
    if not loop.cancelled() and (error := loop.exception()) is not None:
        log.error("a part of the server has stopped", part=loop.get_name(), exc_info=error)
