"""Commands that were carried out, whose answer nobody has read."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from server.admin import asking
from server.admin.asking import carry_out
from server.admin.messages import Asked, Command, CreateKey, Grant, ShowCredits, proof_of
from server.admin.server import AdminServer
from server.jobs.disk.folders import server_secret, socket_path
from store import Database


@pytest.mark.parametrize(("days", "paid"), [
    (0.5, 1), (2, 2), (30, 2), (-30, 1),
])  # fmt: skip
def test_an_old_command_that_was_never_answered_is_another_one(
    data: Path, monkeypatch: pytest.MonkeyPatch, days: float, paid: int
) -> None:
    """As it is meant by who gives it weeks later. Where the clock was put back (a file of the
    future) nobody knows, and it pays once."""
    carry_out(CreateKey("ann", 0), data)
    carried_out = asking._carry_out

    def lost(command: Command, data_dir: Path) -> str:
        carried_out(command, data_dir)
        raise KeyboardInterrupt

    def give_in_vain(command: Command) -> None:
        with monkeypatch.context() as patches:
            patches.setattr(asking, "_carry_out", lost)
            with pytest.raises(KeyboardInterrupt):
                carry_out(command, data)

    give_in_vain(Grant("ann", 10))
    (name,) = (data / "pending").iterdir()
    then = time.time() - 86400 * days
    os.utime(name, (then, then))
    give_in_vain(Grant("ann", 1))
    assert name.exists() == (paid == 1), "any command looks"
    assert not name.exists() or name.stat().st_mtime <= time.time(), "none lasts for ever"
    carry_out(Grant("ann", 10), data)
    assert carry_out(ShowCredits("ann"), data).startswith(f"balance {600 * paid + 60} seconds")


def test_the_log_says_what_was_booked(data: Path) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            carry_out(CreateKey("ann", 10, reference="invoice 7"), data)
    assert [line["seconds"] for line in logs if line["event"] == "key created"] == [600, 0]


@pytest.mark.parametrize(("command", "said"), [
    (CreateKey("ann", 1), "a key was made that nobody has seen"),
    (Grant("ann", 1), "answer was lost"), (Grant("eve", 1), None), (None, None),
])  # fmt: skip
def test_who_does_not_wait_for_the_answer_is_no_fault_of_the_servers(
    data: Path, command: Command | None, said: str | None
) -> None:
    """One warning, where something was done, and the connection is closed."""
    carry_out(CreateKey("ann", 0), data)
    closed: list[bool] = []

    async def main() -> str:
        async with Database(data / "stembox.db") as database:
            server = AdminServer(database, server_secret(data), lambda: None)
            run, answer, gone = server.run, server._answer, asyncio.Event()
            made = ""

            async def slow(command: Command) -> str:
                nonlocal made
                await gone.wait()
                made = await run(command)
                return made

            async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await answer(reader, writer)
                closed.append(writer.is_closing())

            server.run, server._answer = slow, watched  # type: ignore[method-assign]
            path = socket_path(data, "admin.sock")
            async with server.open(path):
                _, writer = await asyncio.open_unix_connection(path)
                if command is not None:
                    asked = Asked(proof_of(server_secret(data)), command)
                    writer.write(msgspec.json.encode(asked) + b"\n")
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
                gone.set()
                async with asyncio.timeout(60):
                    while not closed:
                        await asyncio.sleep(0.01)
            return made

    with capture_logs() as logs:
        made = asyncio.run(main())
    loud = [line for line in logs if line["log_level"] != "info"]
    assert closed == [True]
    assert [line["log_level"] for line in loud] == (["warning"] if said else [])
    assert not said or said in loud[0]["event"]
    if isinstance(command, CreateKey):
        assert loud[0]["key"] == made[:16]
