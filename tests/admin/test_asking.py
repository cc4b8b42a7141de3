"""Commands beside a server that holds the database: asked once, answered or not."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.admin import asking, messages
from server.admin.asking import carry_out
from server.admin.messages import (
    Asked,
    Command,
    CreateKey,
    Grant,
    ListKeys,
    RevokeKeys,
    ShowCredits,
    proof_of,
)
from server.admin.once import Unanswered
from server.admin.server import AdminServer
from server.errors import StemboxError
from server.jobs.disk.folders import server_secret, socket_path
from server.jobs.keys import well_formed
from store import Database
from tests.faults.killing import killed_at
from tests.harness import wait_for


def test_a_running_server_is_asked_through_its_socket(data: Path) -> None:
    """The database has one writer: with the lock taken, the command goes through the socket."""
    carry_out(CreateKey("sue", 0), data)
    revoked: list[int] = []

    async def main() -> None:
        async with Database(data / "stembox.db") as database:
            server = AdminServer(database, server_secret(data), lambda: revoked.append(1))
            path = socket_path(data, "admin.sock")
            async with server.open(path):
                good = proof_of(server_secret(data))

                async def ask(command: Command, proof: str = good) -> str:
                    return await asking._ask(Asked(proof, command), path)

                key = await ask(CreateKey("ann", 1))
                assert await ask(RevokeKeys(key[:16])) == "1 key(s) revoked"
                with pytest.raises(StemboxError, match="no account"):
                    await ask(ShowCredits("bob"))
                for proof in ("", "0" * 64, "é"):
                    with pytest.raises(StemboxError, match="can read the server's secret"):
                        await ask(CreateKey("eve", 1000), proof)
                with pytest.raises(StemboxError, match="no account"):
                    await ask(ShowCredits("eve"))

    asyncio.run(main())
    assert revoked == [1]


def test_an_answer_may_be_long(data: Path) -> None:
    """As that of a server with very many keys."""
    carry_out(CreateKey("ann", 0), data)
    text = "line\n" * (1 << 19)

    async def main() -> str:
        async with Database(data / "stembox.db") as database:
            server = AdminServer(database, server_secret(data), lambda: None)

            async def run(command: Command) -> str:
                return text

            server.run = run  # type: ignore[method-assign]
            path = socket_path(data, "admin.sock")
            async with server.open(path):
                return await asking._ask(Asked(proof_of(server_secret(data)), ListKeys()), path)

    assert asyncio.run(main()) == text


def balance(data: Path, account: str = "ann") -> int:
    return int(carry_out(ShowCredits(account), data).split()[1])


class Stalling:
    """A server on a data directory, in a thread, that answers when it is told to."""

    def __init__(self, data: Path) -> None:
        self.data, self.go, self.done = data, threading.Event(), threading.Event()
        self.silent = False

    def run(self, up: threading.Event, end: threading.Event) -> None:
        async def main() -> None:
            async with Database(self.data / "stembox.db") as database:
                server = AdminServer(database, server_secret(self.data), lambda: None)
                run = server.run

                async def slow(command: Command) -> str:
                    text = await run(command)
                    self.done.set()
                    await asyncio.to_thread(self.go.wait)
                    return text

                server.run = slow  # type: ignore[method-assign]
                async with server.open(socket_path(self.data, "admin.sock")):
                    up.set()
                    await asyncio.to_thread(end.wait)

        import fcntl

        with open(self.data / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            asyncio.run(main())


@contextmanager
def stalling(data: Path) -> Iterator[Stalling]:
    server, up, end = Stalling(data), threading.Event(), threading.Event()
    thread = threading.Thread(target=server.run, args=(up, end))
    thread.start()
    try:
        assert up.wait(60)
        yield server
    finally:
        server.go.set()
        end.set()
        thread.join()


@contextmanager
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patches:
        for module in (asking, messages):
            patches.setattr(module, "PATIENCE_S", 0.2)
        yield


@pytest.mark.parametrize("command", [Grant("ann", 10), CreateKey("ann", 10)])
def test_credits_whose_grant_was_never_answered_come_once(
    data: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """They are booked, and the answer comes too late; the operator gives the command again."""
    carry_out(CreateKey("ann", 1), data)
    with stalling(data) as server, hurried(monkeypatch):
        with pytest.raises(Unanswered, match="grants nothing twice"):
            carry_out(command, data)
        assert server.done.wait(60)
        server.go.set()
    again = carry_out(command, data)
    assert balance(data) == 11 * 60
    said = again.splitlines()
    assert len(said) == 2 and "nothing was added: this was granted already" in said[1]
    assert said[0] == "balance 660 seconds" or well_formed(said[0])
    carry_out(command, data)
    assert balance(data) == 21 * 60, "once it is answered, the next is another one"


def test_a_server_that_is_stopped_is_not_waited_for_for_ever(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the command up when it goes on: with the same command, given again."""
    carry_out(CreateKey("ann", 0), data)
    stopped, answer = threading.Event(), AdminServer._answer

    async def held(self: AdminServer, *streams: object) -> None:
        await asyncio.to_thread(stopped.wait)
        await answer(self, *streams)  # type: ignore[arg-type]

    monkeypatch.setattr(AdminServer, "_answer", held)
    with stalling(data) as server:
        server.go.set()
        with hurried(monkeypatch), pytest.raises(Unanswered):
            carry_out(Grant("ann", 10), data)
        stopped.set()
        carry_out(Grant("ann", 10), data)
    assert balance(data) == 600


def test_a_refusal_is_an_answer(data: Path) -> None:
    carry_out(CreateKey("eve", 0), data)
    with pytest.raises(StemboxError, match="no account"):
        carry_out(Grant("ann", 1), data)
    assert list((data / "pending").iterdir()) == []


def test_a_command_that_never_reached_a_server_forgets_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unanswered, then unreachable, then well: still one grant."""
    carry_out(CreateKey("ann", 0), data)
    with stalling(data) as server, hurried(monkeypatch):
        with pytest.raises(Unanswered):
            carry_out(Grant("ann", 10), data)
        server.go.set()
        socket_path(data, "admin.sock").unlink()
        with pytest.raises(Unanswered, match="silent"):
            carry_out(Grant("ann", 10), data)
    carry_out(Grant("ann", 10), data)
    assert balance(data) == 600


def test_grants_under_one_name_come_once_for_ever(data: Path) -> None:
    for name in ("ann", "bob"):
        carry_out(CreateKey(name, 0), data)
    for _ in range(3):
        carry_out(Grant("ann", 10, "invoice 7"), data)
    carry_out(Grant("ann", 10, "invoice 8"), data)
    assert balance(data) == 1200
    carry_out(Grant("bob", 10, "invoice 7"), data)
    assert balance(data, "bob") == 600, "each account has names of its own"
    with pytest.raises(StemboxError, match="600 seconds were granted"):
        carry_out(Grant("ann", 20, "invoice 7"), data)
    assert balance(data) == 1200


@pytest.mark.parametrize("name", ["fsync", "unlink", "stat"])
def test_a_command_that_is_killed_and_given_again_pays_once(data: Path, name: str) -> None:
    """At every call, before and behind the booking."""
    carry_out(CreateKey("ann", 0), data)
    step, before = 0, balance(data)
    while killed_at(step, [name], carry_out, Grant("ann", 10), data):
        carry_out(Grant("ann", 10), data)
        assert balance(data) == before + 600, step
        step, before = step + 1, before + 600
    assert balance(data) == before + 600
    assert step > 0


def test_commands_at_the_same_time_wait_for_each_other(data: Path) -> None:
    """Without a server: each opens the database by itself, none is lost and none is silent."""
    carry_out(CreateKey("ann", 0), data)
    call = [sys.executable, "-m", "server.cli", "credits", "grant", "--account", "ann",
            "--minutes", "10", "--data-dir", str(data)]
    running = [subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert balance(data) == 1800, "these are three grants, and not one three times"
    wait_for(lambda: not list((data / "pending").iterdir()), 5)
