"""What is told of the models: from their files, and from the jobs that went through them."""

import asyncio
from pathlib import Path

import msgspec

from server.config import load
from server.jobs.models import Models
from store import Database, JobRepository, NewJob, StagePlan


def test_what_is_told_of_them(tmp_path: Path) -> None:
    config = load(environ={}, flags={"server.data_dir": str(tmp_path)})
    path = tmp_path / "stembox.db"
    async def told() -> dict[str, tuple[float | None, list[str]]]:
        async with Database(path) as database:
            jobs = JobRepository(database)
            for name, model, seconds in (("a", "starter", 100), ("b", "starter", 50),
                                         ("c", "gone", 10), ("d", "starter", 0)):
                await jobs.create(NewJob(id=name, api="pipeline", options="{}", created_at=1.0,
                                         plan=(StagePlan("separate", "separation"),)))
                claim = await jobs.stages.claim("separation", "lease", 2.0)
                assert claim is not None
                facts = {"model": model, "separate_s": 15.0, "seconds": seconds}
                await jobs.stages.finish(claim.stage, facts, {}, 3.0)
            found = await Models(config, jobs).installed()
        assert {model.family for model in found} == {"starter"}
        assert all(model.licence == "MIT" and model.size_bytes > 1e6 for model in found)
        msgspec.json.encode(found)
        return {model.name: (model.seconds_per_second, model.tiers) for model in found}

    assert asyncio.run(told()) == {
        "starter": (30 / 150, ["balanced", "best", "six_stems"]), "starter_fast": (None, ["fast"]),
    }
