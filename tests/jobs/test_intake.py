"""What the way in refuses before it takes a byte."""

import asyncio
import shutil
from pathlib import Path

import pytest

from server.config import load
from server.errors import DiskFull
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
