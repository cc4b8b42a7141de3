"""Accounts, keys and credits by the command line, without a server and beside one."""

import asyncio
from pathlib import Path

import pytest

from server import admin
from server.admin import (
    AdminServer,
    CreateKey,
    Grant,
    ListKeys,
    RevokeKeys,
    ShowCredits,
    ShowSecret,
)
from server.errors import StemboxError
from server.jobs import keys
from server.jobs.folders import server_secret, socket_path
from store import Database


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_key_and_its_credits(data: Path) -> None:
    key = admin.carry_out(CreateKey("ann", 1.5), data)
    assert keys.well_formed(key)
    assert admin.carry_out(Grant("ann", 2), data) == "balance 210 seconds"
    lines = admin.carry_out(ShowCredits("ann"), data).splitlines()
    assert lines[0] == "balance 210 seconds"
    assert [line.split()[2:5] for line in lines[1:]] == [["grant", "90", "90"],
                                                         ["grant", "120", "210"]]


def test_keys_are_listed_by_their_beginning_and_revoked_by_it(data: Path) -> None:
    made = [admin.carry_out(CreateKey("ann", 0), data) for _ in range(2)]
    listed = admin.carry_out(ListKeys(), data)
    assert all(key[:16] in listed and key not in listed for key in made)
    assert admin.carry_out(RevokeKeys(made[0][:16]), data) == "1 key(s) revoked"
    assert admin.carry_out(RevokeKeys(made[0]), data) == "0 key(s) revoked", "by all of it, again"
    rows = admin.carry_out(ListKeys(), data).splitlines()[1:]
    assert sum(len(row.split()) == 6 for row in rows) == 1


@pytest.mark.parametrize(("command", "reason"), [
    (Grant("bob", 1), "no account"), (ShowCredits("bob"), "no account"),
    (CreateKey("ann", -1), "minutes"), (CreateKey("ann", float("nan")), "minutes"),
    (CreateKey(" ", 0), "name"), (RevokeKeys("sk_live_"), "more of the key"),
    (RevokeKeys("sk_live_zzzz"), "no key"), (ShowSecret("bob"), "no account"),
])
def test_what_is_refused(data: Path, command: admin.Command, reason: str) -> None:
    with pytest.raises(StemboxError, match=reason):
        admin.carry_out(command, data)


def test_secrets_of_callbacks(data: Path) -> None:
    admin.carry_out(CreateKey("ann", 0), data)
    anyone, ann = (admin.carry_out(ShowSecret(name), data) for name in ("", "ann"))
    assert anyone.startswith("whsec_") and ann.startswith("whsec_") and anyone != ann
    assert admin.carry_out(ShowSecret(""), data) == anyone
    assert oct((data / "secret").stat().st_mode)[-3:] == "600"


def test_a_running_server_is_asked_through_its_socket(data: Path) -> None:
    """The database has one writer: with the lock taken, the command goes through the socket."""
    admin.carry_out(ListKeys(), data)
    revoked: list[int] = []

    async def main() -> None:
        async with Database(data / "stembox.db") as database:
            server = AdminServer(database, server_secret(data), lambda: revoked.append(1))
            path = socket_path(data, "admin.sock")
            async with server.open(path):
                key = await admin._ask(CreateKey("ann", 1), path)
                assert await admin._ask(RevokeKeys(key[:16]), path) == "1 key(s) revoked"
                with pytest.raises(StemboxError, match="no account"):
                    await admin._ask(ShowCredits("bob"), path)

    asyncio.run(main())
    assert revoked == [1]
