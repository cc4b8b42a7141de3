"""By whose fault a job ended, as its sentences tell."""

import asyncio
from pathlib import Path

import pytest

from server.jobs.outcomes import OUTCOMES, given_up_after, outcome_of
from store import Database, HappeningRepository, JobRepository
from store.stages import MAX_ORPHANED
from tests.store.conftest import new_job


@pytest.mark.parametrize(("state", "error", "outcome"), [
    ("completed", "", "completed"),
    ("failed", "The job was cancelled", "cancelled"),
    ("failed", "Processing failed 3 times and was given up", "failed"),
    ("failed", "Processing failed once and was given up", "failed"),
    ("failed", "The source could not be read", "failed"),
    ("failed", "Unsupported audio format: .txt", "refused"),
    ("failed", "Not enough credits for this job: it needs 9 seconds.", "refused"),
    ("expired", "The job waited too long and was given up", "expired"),
])  # fmt: skip
def test_outcomes(state: str, error: str, outcome: str) -> None:
    assert outcome_of(state, error) == outcome
    assert outcome in OUTCOMES


def test_what_is_said_of_a_job_that_is_given_up() -> None:
    assert given_up_after(1) == "Processing failed once and was given up"
    assert given_up_after(3) == "Processing failed 3 times and was given up"


def test_a_job_that_takes_the_server_down_is_the_servers_failure(tmp_path: Path) -> None:
    """The store's own sentence, as it is really written."""
    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            jobs, happenings = JobRepository(db), HappeningRepository(db)
            await happenings.begin()
            await jobs.create(new_job("a", 1.0))
            for boot in range(MAX_ORPHANED):
                await jobs.stages.claim("audio", f"{boot}/1", 2.0)
                await jobs.stages.recover(f"{boot + 1}", "machine", 3.0)
            ends = [h for h in await happenings.take() if h.what == "failed"]
            assert [outcome_of(end.what, end.detail) for end in ends] == ["failed"]

    asyncio.run(main())
