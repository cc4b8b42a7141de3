"""A database that is full, or whose disk fails: every route says so in its own API's words, and
goes on when there is room again."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import ASGIApp

from server.app import Components
from server.config import load
from server.jobs import keys
from server.jobs.disk.folders import Folders
from server.jobs.sources.intake import Intake
from server.work.board import Board
from store import AccountRepository, CreditRepository, Database, Entry
from store import connection as connection_module
from store.accounts import NewKey

KEY = keys.new_key()
FORM = {"file": ("song.wav", b"song")}
V1 = "/api/v1"
# Of every kind: what each API writes to the database. {upload}, {webhook}, {job}: those that exist.
WRITES = [
    ("POST", "/process", {"files": FORM}),
    ("POST", "/demo", {}),
    ("DELETE", "/job/{pipeline}", {}),
    ("POST", f"{V1}/upload", {"json": {"filename": "a.mp3"}}),
    ("POST", f"{V1}/webhooks", {"json": {"url": "https://example.com/", "events": ["job.failed"]}}),
    ("DELETE", f"{V1}/webhooks/{{webhook}}", {}),
    ("POST", f"{V1}/jobs", {"json": {
        "uploadKey": "{upload}", "outputType": "BOTH", "quality": "FAST", "outputFormat": "MP3"}}),
    ("DELETE", f"{V1}/jobs/{{job}}", {}),
]  # fmt: skip


class World:
    """The whole server but for its workers and loops, called without a socket."""

    def __init__(self, app: ASGIApp, folders: Folders) -> None:
        self.folders = folders
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test",
                                      headers={"Authorization": f"Bearer {KEY}"})
        self.names: dict[str, str] = {}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        filled = {
            key: {k: v.format(**self.names) if isinstance(v, str) else v for k, v in value.items()}
            if key == "json" else value
            for key, value in more.items()
        }
        return await self.http.request(method, path.format(**self.names), **filled)

    def lying(self) -> set[str]:
        """Names of what lies about jobs and uploads under way."""
        folders = (self.folders.spool, self.folders.scratch, self.folders.outputs)
        return {path.name for folder in folders for path in folder.iterdir()}

    async def fill(self) -> None:
        """An upload, a webhook, and a job of each API."""
        told = (await self.ask("POST", f"{V1}/upload", json={"filename": "a.mp3"})).json()
        self.names["put"], self.names["upload"] = told["uploadUrl"], told["uploadKey"]
        other = (await self.ask("POST", f"{V1}/upload", json={"filename": "b.mp3"})).json()
        assert (await self.http.put(told["uploadUrl"], content=b"song")).status_code == 200
        self.names["put"] = other["uploadUrl"]
        for name, field, (method, path, more) in (
            ("pipeline", "job_id", WRITES[0]), ("webhook", "id", WRITES[4]),
            ("job", "id", WRITES[6]),
        ):  # fmt: skip
            answer = await self.ask(method, path, **more)
            assert answer.status_code in (200, 201), answer.text
            self.names[name] = answer.json()[field]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def look(*_: object, **__: object) -> dict[str, Any]:
        return {"frames": 10 * 44_100, "seconds": 10.0}

    monkeypatch.setattr(Intake, "look", look)

    def run(test: Callable[[World, Database], Awaitable[None]]) -> None:
        config = load(environ={}, flags={
            "server.data_dir": str(tmp_path / "data"), "server.min_free_percent": 0,
            "limits.requests_per_minute": 1000,
        })  # fmt: skip

        async def main() -> None:
            (tmp_path / "data").mkdir()
            async with Database(tmp_path / "t.db") as database:
                components = Components(config, database, Board({}))
                components._folders.create()
                accounts = AccountRepository(database)
                account = await accounts.ensure("ann", 1.0)
                await accounts.create_key(
                    NewKey("ann", keys.hash_of(KEY), KEY[:12], 0, None, 1.0)
                )
                await CreditRepository(database).add(Entry(account, "grant", 600, 1.0))
                world = World(components.http, components._folders)
                await world.fill()
                await test(world, database)

        with structlog.testing.capture_logs():
            asyncio.run(main())

    return run


def check(answer: httpx.Response, full: bool) -> None:
    """A clear 5xx with Retry-After, in the API's own form."""
    path = answer.request.url.path
    assert int(answer.headers["Retry-After"]) > 0, path
    sentence = "disk is full" if full else "storage does not answer"
    if path.startswith(V1):
        assert answer.status_code == 503, (path, answer.text)
        error = answer.json()["error"]
        assert error["code"] == "SERVER_BUSY"
        assert sentence in error["message"]
    else:
        assert answer.status_code == (507 if full else 503), (path, answer.text)
        assert sentence in answer.json()["detail"]


@pytest.mark.parametrize("code", [
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_CANTOPEN,
])  # fmt: skip
def test_every_route_that_writes_says_so(
    play, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = code
        raise error

    async def test(world: World, database: Database) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(database._writer, "_run_all", refuse)
            for method, path, more in WRITES:
                check(await world.ask(method, path, **more), code == sqlite3.SQLITE_FULL)
            check(await world.http.put(world.names["put"], content=b"other"),
                  code == sqlite3.SQLITE_FULL)  # fmt: skip
            assert world.lying() == {world.names["pipeline"], world.names["job"]}
        answer = await world.http.put(world.names["put"], content=b"other")
        assert answer.status_code == 200, "nothing is lost, and it works again"
        for method, path, more in WRITES:
            answer = await world.ask(method, path, **more)
            assert answer.status_code in (200, 201), (path, answer.text)

    play(test)


def test_a_database_that_cannot_be_read_says_so_before_the_key_is_known(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    async def test(world: World, database: Database) -> None:
        monkeypatch.setattr(database._reader, "_run_all", refuse)
        await asyncio.sleep(0.6)  # longer than a key is remembered
        check(await world.ask("GET", f"{V1}/balance"), False)
        check(await world.ask("GET", "/job/nobody"), False)

    play(test)


def test_a_database_that_is_really_full(play) -> None:
    """SQLite's own limit of pages: the file may not grow, and the statement says so."""
    async def test(world: World, database: Database) -> None:
        pages = await database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await database.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        answers = [await world.ask(*WRITES[3][:2], json={"filename": "x" * 200 + ".mp3"})
                   for _ in range(200)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            check(answer, True)
        await database.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
        assert (await world.ask(*WRITES[3][:2], **WRITES[3][2])).status_code == 200

    play(test)


def test_a_statement_that_is_wrong_stays_a_defect(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "t.db") as database:
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await database.read(lambda db: db.execute("SELECT * FROM nowhere"))

    asyncio.run(main())
    assert sqlite3.SQLITE_ERROR not in connection_module.ERRNOS
