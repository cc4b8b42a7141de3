"""Accounts, keys and credits by the command line, without a server and beside one."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from server.admin import server
from server.admin.asking import carry_out
from server.admin.messages import (
    Command,
    CreateKey,
    Grant,
    ListKeys,
    RevokeKeys,
    ShowCredits,
    ShowSecret,
)
from server.errors import StemboxError
from server.jobs import keys
from store import AccountRepository, Database


def test_a_key_and_its_credits(data: Path) -> None:
    key = carry_out(CreateKey("ann", 1.5), data)
    assert keys.well_formed(key)
    assert carry_out(Grant("ann", 2), data) == "balance 210 seconds"
    lines = carry_out(ShowCredits("ann"), data).splitlines()
    assert lines[0] == "balance 210 seconds"
    assert [line.split()[2:5] for line in lines[1:]] == [["grant", "90", "90"],
                                                         ["grant", "120", "210"]]


def test_a_ledger_that_is_cut_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SHOWN_ENTRIES", 3)
    carry_out(CreateKey("ann", 1), data)
    for minutes in (2, 3, 4):
        assert "entries" not in carry_out(ShowCredits("ann"), data)
        carry_out(Grant("ann", minutes), data)
    lines = carry_out(ShowCredits("ann"), data).splitlines()
    assert lines[:2] == ["balance 600 seconds", "the last 3 of 4 entries"]
    assert [line.split()[3] for line in lines[2:]] == ["120", "180", "240"]


def test_blanks_around_an_accounts_name_are_slips(data: Path) -> None:
    carry_out(CreateKey("ann", 1), data)
    carry_out(CreateKey(" ann", 1), data)
    assert carry_out(Grant("ann ", 1), data) == "balance 180 seconds"
    assert carry_out(ShowCredits("\tann\u00a0"), data).startswith("balance 180 seconds")
    assert carry_out(ShowSecret(" ann "), data) == carry_out(ShowSecret("ann"), data)
    accounts = {line.split()[1] for line in carry_out(ListKeys(), data).splitlines()[1:]}
    assert accounts == {"ann"}
    told = msgspec.json.decode(b'{"type": "Grant", "account": " ann", "minutes": 1}', type=Grant)
    assert told == Grant("ann", 1), "by whatever way it comes"


def test_an_account_whose_name_has_blanks_from_earlier_is_found(data: Path) -> None:
    carry_out(CreateKey("eve", 0), data)

    async def earlier() -> None:
        async with Database(data / "stembox.db") as database:
            for name in (" ann", "bob", " bob"):
                await AccountRepository(database).ensure(name, 1.0)

    asyncio.run(earlier())
    carry_out(CreateKey("ann", 1), data)
    assert carry_out(Grant("ann", 1), data) == "balance 120 seconds"
    carry_out(CreateKey("bob", 0), data)
    with closing(sqlite3.connect(data / "stembox.db")) as db:
        made = db.execute("SELECT a.name FROM keys k JOIN accounts a ON a.id = k.account_id")
        assert {name for (name,) in made} == {"eve", " ann", "bob"}, "the exact name comes first"


def test_one_second_is_no_more_than_one(data: Path) -> None:
    carry_out(CreateKey("ann", 1 / 60), data)
    assert carry_out(ShowCredits("ann"), data).startswith("balance 1 second\n")


def test_keys_are_listed_by_their_beginning_and_revoked_by_it(data: Path) -> None:
    made = [carry_out(CreateKey("ann", 0), data) for _ in range(2)]
    listed = carry_out(ListKeys(), data)
    assert all(key[:16] in listed and key not in listed for key in made)
    assert carry_out(RevokeKeys(made[0][:16]), data) == "1 key(s) revoked"
    assert carry_out(RevokeKeys(made[0]), data) == "0 key(s) revoked", "by all of it, again"
    rows = carry_out(ListKeys(), data).splitlines()[1:]
    assert sum(len(row.split()) == 6 for row in rows) == 1


@pytest.mark.parametrize(("command", "reason"), [
    (Grant("bob", 1), "no account"), (ShowCredits("bob"), "no account"),
    (CreateKey("ann", -1), "minutes"), (CreateKey("ann", float("nan")), "minutes"),
    (CreateKey("ann", 0.001), "minutes"),
    (CreateKey(" ", 0), "name"), (CreateKey("ann\nbob", 0), "one line"),
    (CreateKey("ann\x1b[2J", 0), "one line"), (RevokeKeys("sk_live_"), "more of the key"),
    (RevokeKeys("sk_"), "more of the key"), (RevokeKeys(""), "more of the key"),
    (RevokeKeys("sk_test_"), "more of the key"), (RevokeKeys("nope"), "no key begins with nope"),
    (RevokeKeys("sk_live_zzzz"), "no key"), (ShowSecret("bob"), "no account"),
])
def test_what_is_refused(data: Path, command: Command, reason: str) -> None:
    carry_out(CreateKey("eve", 0), data)
    with pytest.raises(StemboxError, match=reason):
        carry_out(command, data)


@pytest.mark.parametrize("command", [
    ListKeys(), RevokeKeys("sk_live_zzzz"), Grant("ann", 1), ShowCredits("ann"), ShowSecret("")
])
def test_a_data_directory_with_a_slip_in_its_name(data: Path, command: Command) -> None:
    """An empty list, and a new folder, would say that all is well."""
    with pytest.raises(StemboxError, match=f"there is no database in {data}"):
        carry_out(command, data)
    assert not data.exists()


@pytest.mark.parametrize(("damage", "reason"), [
    ("newer", "newer than this stembox knows"), ("noise", "file is not a database"),
])  # fmt: skip
def test_a_database_that_cannot_be_used(data: Path, damage: str, reason: str) -> None:
    carry_out(CreateKey("ann", 0), data)
    if damage == "newer":
        with closing(sqlite3.connect(data / "stembox.db")) as connection:
            connection.execute("PRAGMA user_version = 999")
    else:
        (data / "stembox.db").write_bytes(b"no database at all" * 999)
    with pytest.raises(StemboxError, match=rf"stembox\.db: .*{reason}"):
        carry_out(ListKeys(), data)


def test_secrets_of_callbacks(data: Path) -> None:
    carry_out(CreateKey("ann", 0), data)
    anyone, ann = (carry_out(ShowSecret(name), data) for name in ("", "ann"))
    assert anyone.startswith("whsec_") and ann.startswith("whsec_") and anyone != ann
    assert carry_out(ShowSecret(""), data) == anyone
    assert oct((data / "secret").stat().st_mode)[-3:] == "600"
    (data / "secret").chmod(0o644)
    assert carry_out(ShowSecret(""), data) == anyone
    assert oct((data / "secret").stat().st_mode)[-3:] == "600"


def test_what_a_key_opens_is_listed(data: Path) -> None:
    carry_out(CreateKey("ann", 0), data)
    carry_out(CreateKey("bob", 0, scopes=("stemsplit", "stemsplit")), data)
    key = carry_out(CreateKey("eve", 0, scopes=("pipeline",), requests_per_minute=7,
                                    test=True), data)
    assert key.startswith("sk_test_")
    ann, bob, eve = carry_out(ListKeys(), data).splitlines()[1:]
    assert len(ann.split()) == 4
    assert bob.endswith(" stemsplit") and eve.endswith(" pipeline 7 a minute")
    assert carry_out(RevokeKeys(key[:16]), data) == "1 key(s) revoked"


@pytest.mark.parametrize(("more", "reason"), [
    ({"scopes": ()}, "scopes are some of"), ({"scopes": ("pipeline", "all")}, "scopes are some of"),
    ({"scopes": ("pipeline,admin",)}, "scopes are some of"),
    ({"requests_per_minute": 0}, "a limit is a number"),
    ({"requests_per_minute": 10**9}, "a limit is a number"),
])
def test_keys_that_are_not_made(data: Path, more: dict, reason: str) -> None:
    with pytest.raises(StemboxError, match=reason):
        carry_out(CreateKey("ann", 0, **more), data)
    assert len(carry_out(ListKeys(), data).splitlines()) == 1
