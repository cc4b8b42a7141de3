"""What becomes of jobs when a backup is restored: what ran, and what it does not hold."""

import asyncio
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

from server.commands.upkeep import told
from server.upkeep.restore import restore
from store import Database, JobRepository
from tests.upkeep.backing_up import backup, silent
from tests.upkeep.backing_up import data as data
from tests.upkeep.places import look, states


def test_without_outputs_nothing_is_promised_that_is_not_there(data: Path, tmp_path: Path) -> None:
    """Jobs whose files are missing end as they would: credits released, callers told."""
    backup(data, tmp_path / "b.tar", outputs=False)
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert tar.getnames() == ["stembox.db", "secret", "manifest.json"]
    new = tmp_path / "new"
    restored = restore(tmp_path / "b.tar", new, silent)
    assert look(new) == []
    assert sorted(restored.settled.failed) == ["measuring", "running", "waiting"]
    assert sorted(restored.settled.expired) == ["done", "pipeline", "told"]
    assert states(new)["fetching"] == "processing", "its source can still be fetched"
    text = told(restored, new)
    assert "job waiting failed" in text and "job done expired" in text
    with closing(sqlite3.connect(new / "stembox.db")) as db:
        assert db.execute("SELECT kind FROM ledger WHERE job_id = 'waiting'").fetchall() == [
            ("hold",), ("release",)]
        assert db.execute("SELECT event FROM deliveries WHERE job_id = 'waiting'").fetchall() == [
            ("job.failed",)]


def test_tracks_of_a_job_that_ran_are_not_promised(data: Path, tmp_path: Path) -> None:
    """What it had finished is in no backup, and it will never be made."""
    with closing(sqlite3.connect(data / "stembox.db")) as db, db:
        db.execute("INSERT INTO tracks (job_id, name, path) "
                   "VALUES ('running', 'harmonic', 'harmonic.mp3')")
    backup(data, tmp_path / "b.tar", outputs=False)
    restored = restore(tmp_path / "b.tar", tmp_path / "new", silent)
    assert "running" in restored.settled.failed
    assert restored.findings == [] and look(tmp_path / "new") == []


def test_a_job_that_ran_begins_again_from_its_input(data: Path, tmp_path: Path) -> None:
    """Its scratch files are not in the backup: the first start takes it for another machine."""
    backup(data, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "new", silent)

    async def main() -> None:
        async with Database(tmp_path / "new" / "stembox.db") as db:
            jobs = JobRepository(db)
            await jobs.stages.recover("boot", "this machine", 1.0)
            job = await jobs.get("running")
            assert [stage.state for stage in job.stages] == ["pending", "pending"]

    asyncio.run(main())
