"""Secrets at rest: nothing of them is in the database's files, nor of what was kept open."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import AccountRepository, Database, WebhookRepository
from store.sealing import PREFIX, Sealer, Unreadable
from store.webhooks import Webhook

KEY = b"k" * 32
SECRET = "whsec_" + "VerySecretIndeedVerySecretIndeed" + "="


@given(st.text(max_size=200), st.text(max_size=40))
def test_what_is_sealed_opens_again(text: str, name: str) -> None:
    sealed = Sealer(KEY).seal(text, name)
    assert sealed.startswith(PREFIX) and Sealer(KEY).open(sealed, name) == text
    assert Sealer(KEY).seal(text, name) != sealed, "equal texts do not look equal"


def test_nothing_else_opens() -> None:
    sealed = Sealer(KEY).seal(SECRET, "a")
    changed = [sealed[:place] + ("B" if sealed[place] == "A" else "A") + sealed[place + 1 :]
               for place in range(len(PREFIX), len(sealed) - 2)]  # fmt: skip
    cut = [sealed[:length] for length in range(len(sealed))]
    for wrong in (*changed, *cut, "", PREFIX, SECRET, f"{PREFIX}é", f"x{sealed}"):
        with pytest.raises(Unreadable):
            Sealer(KEY).open(wrong, "a")
    for sealer, name in ((Sealer(KEY), "b"), (Sealer(b"o" * 32), "a")):
        with pytest.raises(Unreadable):
            sealer.open(sealed, name)


def files_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


async def add(database: Database, sealer: Sealer | None, name: str = "hook") -> WebhookRepository:
    account = await AccountRepository(database).ensure("ann", 1.0)
    hooks = WebhookRepository(database, sealer)
    assert await hooks.add(Webhook(name, account, "http://x", ["job.failed"], SECRET, 1.0), 9)
    return hooks


def test_the_files_hold_no_secret(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "db") as database:
            hooks = await add(database, Sealer(KEY))
            assert SECRET.encode() not in files_of(tmp_path / "db"), "nor the write-ahead log"
            found = await hooks.get("hook")
            assert found is not None and found.secret == SECRET
            (listed,) = await hooks.of(found.account_id)
            assert listed.secret == ""
            with pytest.raises(Unreadable):
                await WebhookRepository(database, Sealer(b"o" * 32)).get("hook")

    asyncio.run(main())


def test_what_an_older_stembox_kept_open_is_sealed_and_leaves_no_trace(tmp_path: Path) -> None:
    async def older() -> None:
        async with Database(tmp_path / "db") as database:
            for name in ("a", "b"):
                await add(database, None, name)

    async def newer() -> None:
        async with Database(tmp_path / "db") as database:
            hooks = await add(database, Sealer(KEY), "c")
            assert [await hooks.seal_all(), await hooks.seal_all()] == [2, 0]
            for name in ("a", "b", "c"):
                found = await hooks.get(name)
                assert found is not None and found.secret == SECRET

    asyncio.run(older())
    assert SECRET.encode() in files_of(tmp_path / "db"), "a test that looks in the right place"
    asyncio.run(newer())
    assert SECRET.encode() not in files_of(tmp_path / "db")
    with sqlite3.connect(tmp_path / "db") as db:
        assert {row[0][: len(PREFIX)] for row in db.execute("SELECT secret FROM webhooks")} == {
            PREFIX}  # fmt: skip
