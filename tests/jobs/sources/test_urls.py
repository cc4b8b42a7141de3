"""The URL of a source may be a password: it is forgotten as soon as nobody needs it."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from store.migrations import available, migrate
from tests.jobs.ordering import World, plain, slowly
from tests.jobs.ordering import play as play


async def stored(world: World) -> str:
    """All that the database says of jobs."""

    def rows(db: sqlite3.Connection) -> str:
        return "\n".join(str(tuple(row)) for row in db.execute("SELECT * FROM jobs"))

    return await world.jobs._db.read(rows)


SIGNED = "/song.wav?X-Amz-Signature=c0ffee"


def test_the_url_of_a_source_is_forgotten_when_it_is_here_at_once(play) -> None:
    async def test(world: World) -> None:
        await world.grant(100)
        await world.create(source_url=world.server.url + SIGNED)
        assert "c0ffee" not in await stored(world)

    play(test, plain())


@pytest.mark.parametrize("broken", [False, True])
def test_the_url_of_a_source_is_forgotten_when_it_is_here_later(play, broken: bool) -> None:
    """Before its length is measured: that may take long."""
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(source_url=world.server.url + SIGNED)
        assert "c0ffee" in await stored(world), "a restart would need it"
        world.broken, look, told = broken, world.intake.look, []

        async def looking(*arguments: Any) -> Any:
            told.append(await stored(world))
            return await look(*arguments)

        world.intake.look = looking  # type: ignore[method-assign]
        go.set()
        await world.settled(made["id"])
        assert "c0ffee" not in told[0]
        assert "c0ffee" not in await stored(world)

    play(test, slowly(go), now_s=0.2)


@pytest.mark.parametrize("way", ["fails", "cancelled", "expires"])
def test_the_url_of_a_source_is_forgotten_when_its_job_ends_without_it(play, way: str) -> None:
    go = asyncio.Event()

    async def test(world: World) -> None:
        await world.grant(100)
        made = await world.create(source_url=world.server.url + SIGNED)
        if way == "fails":
            go.set()
            await world.settled(made["id"])
        elif way == "cancelled":
            await world.split.delete(world.account, made["id"])
        else:
            await world.jobs.expire(made["id"], 2.0)
            await world.fetcher.cancel(made["id"])
        assert (await world.job(made["id"])).state in ("failed", "expired")
        assert "c0ffee" not in await stored(world)
        assert (await world.request(made["id"])).file_name == "song.wav"

    play(test, slowly(go, end=b""), now_s=0.2)


def test_urls_that_were_kept_before_are_dropped_by_the_migration(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    old = [(number, sql) for number, sql in available() if number < 9]
    for number, sql in old:
        db.executescript(f"{sql}\nPRAGMA user_version = {number};")
    request = json.dumps({"seconds": 1.5, "source_url": "https://a/?c0ffee", "metadata": None})
    for name, state in (("done", "completed"), ("fetched", "processing"), ("waits", "processing")):
        db.execute(
            "INSERT INTO jobs (id, api, state, options, created_at, request)"
            " VALUES (?, 'stemsplit', ?, '{}', 1.0, ?)",
            (name, state, request),
        )
        db.execute(
            "INSERT INTO stages (job_id, name, position, pool, state)"
            " VALUES (?, 'fetch', 0, 'fetch', ?)",
            (name, "pending" if name == "waits" else "completed"),
        )
    migrate(db)
    left = dict(db.execute("SELECT id, json_extract(request, '$.source_url') FROM jobs"))
    assert left == {"done": None, "fetched": None, "waits": "https://a/?c0ffee"}
    assert db.execute("SELECT json_extract(request, '$.seconds') FROM jobs").fetchone() == (1.5,)
    db.close()
