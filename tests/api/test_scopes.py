"""What a key opens and how often it may call, over both APIs and a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from server.api import create_app
from server.api.signing import Signer
from server.config import load
from server.jobs import keys
from server.jobs.accounts import Accounts
from store import AccountRepository, CreditRepository, Database
from store.accounts import NewKey
from store.migrations import available

from .fakes import FakeJobs, fake_services

BOTH = "pipeline,stemsplit"
PIPELINE, STEMSPLIT = "/job/none", "/api/v1/balance"
SONG = {"file": ("song.wav", b"x")}


class World:
    """The whole app with keys; its jobs are fakes."""

    def __init__(self, root: Path, db: Database, per_minute: int) -> None:
        config = load(environ={}, flags={"pipeline.auth": "api_key",
                                         "limits.requests_per_minute": per_minute})
        self._accounts, self.jobs = AccountRepository(db), FakeJobs(root)
        accounts = Accounts(self._accounts, CreditRepository(db))
        services = fake_services()._replace(accounts=accounts)
        app = create_app(config, self.jobs, services, Signer(b"s" * 32))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t")

    async def key(self, scopes: str = BOTH, limit: int | None = None, test: bool = False) -> str:
        key = keys.new_key(test)
        await self._accounts.create_key(NewKey("ann", keys.hash_of(key), keys.shown(key), 0, None,
                                               1.0, scopes, limit))
        return key

    async def ask(self, key: str, path: str, method: str = "GET", **more) -> httpx.Response:
        return await self.http.request(method, path, headers={"Authorization": f"Bearer {key}"},
                                       **more)


@pytest.fixture
def play(tmp_path: Path):
    def run(test: Callable[[World], Awaitable[None]], per_minute: int = 60) -> None:
        async def main() -> None:
            async with Database(tmp_path / "t.db") as db:
                world = World(tmp_path, db, per_minute)
                async with world.http:
                    await test(world)

        asyncio.run(main())

    return run


@pytest.mark.parametrize(("scopes", "pipeline", "stemsplit"), [
    (BOTH, 404, 200), ("pipeline", 404, 403), ("stemsplit", 403, 200), ("admin", 403, 403),
    ("stemsplit,admin", 403, 200),
])  # fmt: skip
def test_a_key_opens_what_it_is_for(play, scopes: str, pipeline: int, stemsplit: int) -> None:
    async def test(world: World) -> None:
        key = await world.key(scopes)
        first = await world.ask(key, PIPELINE)
        assert first.status_code == pipeline
        if pipeline == 403:
            assert first.json() == {"detail": "This API key is not for the pipeline API."}
        second = await world.ask(key, STEMSPLIT)
        assert second.status_code == stemsplit
        if stemsplit == 403:
            assert second.json()["error"]["code"] == "INSUFFICIENT_SCOPE"

    play(test)


def test_a_partner_of_one_api_does_not_use_the_other_for_nothing(play) -> None:
    async def test(world: World) -> None:
        key = await world.key("stemsplit")
        for path in ("/process", "/demo"):
            answer = await world.ask(key, path, "POST", files=SONG)
            assert answer.status_code == 403
        assert world.jobs.uploads == [] and world.jobs.spooled() == []

    play(test)


def test_keys_of_before_open_both(play, tmp_path: Path) -> None:
    import sqlite3

    key = keys.new_key()
    db = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    for number, sql in available():
        if number < 10:
            db.executescript(f"{sql}\nPRAGMA user_version = {number};")
    db.execute("INSERT INTO accounts VALUES ('a', 'ann', 1.0)")
    db.execute("INSERT INTO keys (hash, prefix, account_id, created_at) VALUES (?, ?, 'a', 1.0)",
               (keys.hash_of(key), keys.shown(key)))
    db.close()

    async def test(world: World) -> None:
        assert (await world.ask(key, PIPELINE)).status_code == 404
        assert (await world.ask(key, STEMSPLIT)).status_code == 200

    play(test)


def test_a_key_has_one_limit_for_both_apis(play) -> None:
    async def test(world: World) -> None:
        mine, other, plain = await world.key(limit=5), await world.key(limit=5), await world.key()
        statuses = [(await world.ask(mine, path)).status_code
                    for path in (PIPELINE, STEMSPLIT) * 4]
        assert statuses == [404, 200, 404, 200, 404, 429, 429, 429]
        refused = await world.ask(mine, PIPELINE)
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["detail"].startswith("Rate limit exceeded")
        allowed = await world.ask(other, STEMSPLIT)
        assert allowed.status_code == 200 and allowed.headers["x-ratelimit-limit"] == "5"
        for _ in range(20):  # no limit of its own: the pipeline counts it nowhere
            assert (await world.ask(plain, PIPELINE)).status_code == 404
        answer = await world.ask(plain, STEMSPLIT)
        assert answer.headers["x-ratelimit-limit"] == "3"
        assert answer.headers["x-ratelimit-remaining"] == "2"

    play(test, per_minute=3)


def test_the_pipeline_tells_a_key_what_is_left_of_its_limit(play) -> None:
    async def test(world: World) -> None:
        mine, plain = await world.key("pipeline", limit=2), await world.key("pipeline")
        answers = [await world.ask(mine, PIPELINE) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 429]
        assert {a.headers["ratelimit-policy"] for a in answers} == {'"key";q=2;w=60'}
        left = [a.headers["ratelimit"].partition(";t=")[0] for a in answers]
        assert left == [f'"key";r={number}' for number in (1, 0, 0)]
        assert "ratelimit" not in (await world.ask(plain, PIPELINE)).headers

    play(test)


def test_what_a_test_key_sends_is_marked_as_a_test(play) -> None:
    async def test(world: World) -> None:
        for kind in (True, False):
            key = await world.key(test=kind)
            assert (await world.ask(key, "/process", "POST", files=SONG)).status_code == 200
            assert (await world.ask(key, "/demo", "POST")).status_code == 200
        assert [upload.test for upload in world.jobs.uploads] == [True, True, False, False]

    play(test)
