"""Places where a server can be killed: before and after everything that it makes durable or says.

They are found, not declared: each change of a row by table and new state, each commit by the
function that is committed, each rename, link, folder and removal by what it is of, each result of a
worker, each webhook that was answered. Code that is written tomorrow has its failpoints today.
"""

import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import store.connection
from server.net.client import GuardedClient
from server.work import pools
from server.work.channel import Channel
from server.work.messages import Result

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|upload-.*|\.\d+\.part")
FOLDERS = ("spool", "uploads", "scratch", "outputs")
TABLES = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
OF_FILES = ("replace", "rename", "link", "mkdir", "unlink")


class Failpoints:
    """What is to happen at them, and what has: a folder that outlives every process.

    `armed` holds regular expressions, one a line: at a failpoint whose name one of them matches as
    a whole the process dies, once for each name. `how` says what that means: `process`; `group`,
    all processes with it; or `stop`, it stands still until somebody continues it.
    `died/` has a file for each name that killed, `seen/` for each that was come by.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("died", "seen"):
            (folder / name).mkdir(exist_ok=True)

    def kill_at(self, patterns: Iterable[str], how: str = "process") -> None:
        """Arms these, and no others."""
        (self.folder / "how").write_text(how)
        (self.folder / "armed").write_text("\n".join(patterns))

    def died(self) -> set[str]:
        """The failpoints that have killed."""
        return {_plain(path.name) for path in (self.folder / "died").iterdir()}

    def seen(self) -> set[str]:
        """The failpoints that were come by."""
        return {_plain(path.name) for path in (self.folder / "seen").iterdir()}

    def forget(self) -> None:
        """Nothing was come by so far."""
        for path in (self.folder / "seen").iterdir():
            path.unlink()

    def reach(self, name: str) -> None:
        """Dies here, if that is wanted and has not happened yet."""
        (self.folder / "seen" / _quoted(name)).touch()
        patterns = (self.folder / "armed").read_text().splitlines()
        if not any(re.fullmatch(pattern, name) for pattern in patterns):
            return
        try:
            os.close(os.open(self.folder / "died" / _quoted(name), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        how = (self.folder / "how").read_text()
        if how == "group":
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)

    def arm(self) -> None:
        """Wraps this process's ways to make changes durable."""
        pools.SHORTEST_LIFE = 0.0  # whoever is killed a hundred times is not made to wait
        self._arm_files()
        self._arm_database()
        self._arm_messages()

    def _arm_files(self) -> None:
        for name in OF_FILES:
            setattr(os, name, self._around_file(name, getattr(os, name)))
        shutil.rmtree = self._around_file("remove", shutil.rmtree)  # type: ignore[assignment]

    def _around_file(self, verb: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            target = arguments[0] if verb in ("mkdir", "unlink", "remove") else arguments[1]
            place = _place(target)
            if place is None:
                return call(*arguments, **more)
            self.reach(f"{verb} {place} before")
            result = call(*arguments, **more)
            self.reach(f"{verb} {place} after")
            return result

        return wrapped

    def _arm_database(self) -> None:
        migrate, commit_all = store.connection.migrate, store.connection._commit_all
        committing: list[str] = []

        def migrated(connection: sqlite3.Connection) -> int:
            number = migrate(connection)
            connection.create_function("reach", 1, self.reach)
            for trigger in _triggers(connection):
                connection.execute(trigger)
            connection.set_trace_callback(traced)
            return number

        def traced(statement: str) -> None:
            if statement == "COMMIT":
                for name in committing:
                    self.reach(f"commit {name} before")

        def committed(connection: sqlite3.Connection, work: Any) -> Any:
            committing[:] = sorted({function.__name__ for function, _ in work})
            outcomes = commit_all(connection, work)
            for name in committing:
                self.reach(f"commit {name} after")
            return outcomes

        store.connection.migrate = migrated
        store.connection._commit_all = committed

    def _arm_messages(self) -> None:
        send, post = Channel.send, GuardedClient.post

        def sent(channel: Channel, message: Any) -> None:
            if isinstance(message, Result):
                self.reach("result before")
            send(channel, message)
            if isinstance(message, Result):
                self.reach("result after")

        async def posted(client: GuardedClient, *arguments: Any, **more: Any) -> Any:
            answer = await post(client, *arguments, **more)
            self.reach("webhook posted")
            return answer

        Channel.send = sent  # type: ignore[method-assign]
        GuardedClient.post = posted  # type: ignore[method-assign]


def _triggers(connection: sqlite3.Connection) -> list[str]:
    """Statements that have every change of every table tell of itself, on this connection alone."""
    found = []
    for (table,) in connection.execute(TABLES):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        state = next((name for name in ("kind", "state") if name in columns), None)
        for event, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
            name = f"'{table} {event}'" + (f" || ' ' || {row}.{state}" if state else "")
            found.append(f"CREATE TEMP TRIGGER reach_{table}_{event} AFTER {event} ON main.{table}"
                         f" BEGIN SELECT reach({name}); END")
    return found


def _place(target: Any) -> str | None:
    """Which of the data directory's files this is, without what differs from job to job."""
    if not isinstance(target, str | os.PathLike) or not os.path.isabs(target):
        return None
    parts = [IDS.sub("", part) for part in Path(target).parts]
    folder = next((part for part in parts if part in FOLDERS), None)
    if folder is None:
        return None
    below = [part for part in parts[parts.index(folder) + 1 :] if part]
    return "/".join([folder, *([] if folder == "uploads" else below)])


def _quoted(name: str) -> str:
    return name.replace("/", "\\")


def _plain(name: str) -> str:
    return name.replace("\\", "/")
