"""An account's signed PUTs against an app on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.api import create_app
from server.api.signing import BASE, Signer
from server.config import load
from server.errors import DiskFull, MissingKey
from server.jobs.disk.folders import Folders
from server.jobs.sources.uploads import Uploads
from store import AccountRepository, Database, UploadRepository
from store.accounts import Key

from .fakes import FakeJobs, fake_services

SONG = bytes(range(256)) * 9000  # more than two chunks
OTHER = SONG[:-1] + b"\x00"
Put = tuple[int, dict[str, Any]]


class OneAccount:
    """Everybody is ann."""

    def __init__(self, account: str) -> None:
        self._account = account

    async def authenticate(self, key: str | None, scope: str) -> Key:
        if key is None:
            raise MissingKey("Missing API key")
        return Key("h", "sk_live_x", self._account, 1.0, None, scope, None)


class World:
    """The whole app over real uploads, called without a socket."""

    def __init__(self, root: Path, db: Database, account: str) -> None:
        self.folders, self.full = Folders(root), False
        self.folders.create()
        self.account, self.promised, self.db = account, {}, db
        self.uploads = Uploads(UploadRepository(db), self.folders, self)  # type: ignore[arg-type]
        config = load(
            environ={}, flags={"limits.max_upload_mb": 4, "limits.requests_per_minute": 100_000}
        )
        services = fake_services()._replace(accounts=OneAccount(account), uploads=self.uploads)
        app = create_app(config, FakeJobs(root), services, Signer(b"s" * 32))
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": "Bearer k"},
        )
        self.app = app

    async def check(self) -> None:
        if self.full:
            raise DiskFull("full")

    async def promise(self, name: str, wanted: int, *, caller: str, place: Path) -> None:
        assert (caller, place.name) == (self.account, name)
        await self.check()
        self.promised[name] = wanted

    def forget(self, name: str) -> None:
        self.promised.pop(name, None)

    async def ticket(self, **body: str) -> dict[str, Any]:
        answer = await self.http.post(f"{BASE}/upload", json={"filename": "a.mp3"} | body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def put(self, url: str, body: Any = SONG, kind: str | None = "audio/mpeg") -> Put:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await self.http.put(url, content=body, headers=headers)
        return answer.status_code, answer.json()

    def lying(self) -> tuple[list[bytes], list[str]]:
        """What is kept, and names of what is left half-done."""
        kept = [path.read_bytes() for path in self.folders.uploads.iterdir()]
        return kept, [path.name for path in self.folders.spool.iterdir()]


@pytest.fixture
def play(tmp_path: Path):
    def run(test: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            async with Database(tmp_path / "t.db") as db:
                account = await AccountRepository(db).ensure("ann", 1.0)
                await test(World(tmp_path, db, account))

        asyncio.run(main())

    return run


def code(put: Put) -> tuple[int, str]:
    return put[0], put[1]["error"]["code"]
