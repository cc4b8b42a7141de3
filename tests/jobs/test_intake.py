"""What the way in refuses before it takes a byte."""

import asyncio
import shutil
from pathlib import Path

import pytest

from server.config import load
from server.errors import DiskFull, ServerBusy
from server.jobs.intake import Intake
from server.work.workers import Workers
from store import Database, JobRepository
from tests.jobs.test_places import Usage


@pytest.mark.parametrize(("free", "refused"), [(4.9, True), (5.0, False)])
def test_work_is_refused_below_the_share_of_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, refused: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1000, 0, 10 * free))
    config = load(environ={}, flags={"server.data_dir": str(tmp_path)})
    assert config.server.min_free_percent == 5

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            intake = Intake(config, JobRepository(database), Workers(stall_seconds=60))
            intake.folders.create()
            if refused:
                with pytest.raises(DiskFull):
                    await intake.reserve()
            else:
                await intake.reserve()
            assert len(list(intake.folders.spool.iterdir())) == (0 if refused else 1)

    asyncio.run(run())


def test_uploads_on_their_way_in_take_no_place_in_the_queue(tmp_path: Path) -> None:
    """However many are slow: a place is taken by what has come, and no more than there are."""
    config = load(environ={}, flags={
        "server.data_dir": str(tmp_path), "server.min_free_percent": 0, "limits.max_queued_jobs": 3,
    })  # fmt: skip

    async def run() -> None:
        async with Database(tmp_path / "jobs.sqlite") as database:
            intake = Intake(config, JobRepository(database), Workers(stall_seconds=60))
            intake.folders.create()
            arriving = [(await intake.reserve())[0] for _ in range(20)]
            told = await asyncio.gather(*map(intake.enter, arriving), return_exceptions=True)
            assert sum(isinstance(one, ServerBusy) for one in told) == 17
            entered = [one for one, error in zip(arriving, told, strict=True) if error is None]
            with pytest.raises(ServerBusy):
                await intake.reserve()
            await intake.discard(entered[0])
            await intake.reserve()

    asyncio.run(run())
