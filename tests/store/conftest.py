"""A database of its own for every test; async tests run through `asyncio.run`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from store import Database, JobRepository, NewJob, StagePlan

PLAN = (
    StagePlan("decode", "audio"),
    StagePlan("separate", "separation", needs=("decode",)),
    StagePlan("hpss", "audio", needs=("decode",)),
    StagePlan("encode", "audio", needs=("separate", "hpss")),
)


def new_job(
    job_id: str, now: float, plan: tuple[StagePlan, ...] = PLAN, options: str = "{}", **more: object
) -> NewJob:
    """A pipeline job, or whatever `more` makes of it."""
    fields = {"api": "pipeline"} | more
    return NewJob(id=job_id, options=options, plan=plan, created_at=now, **fields)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Database, JobRepository]]:
    async with Database(path) as database:
        yield database, JobRepository(database)


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[[], Awaitable]:
    return lambda: opened(tmp_path / "test.db")
