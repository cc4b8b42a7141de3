"""Known bugs, each of which a test of the promises must find: `planted` in the faults' folder names
those that a server has."""

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import store.connection
from server.jobs.attempts import Attempts
from server.jobs.sources.intake import Intake
from server.work.channel import Channel
from server.work.messages import Progress, Result, Task
from store import Job, NewJob, Stage, StageRepository
from store.migrations import available
from store.stages import Recovered


def plant(folder: Path) -> None:
    """Makes this process as faulty as the folder says."""
    wanted = folder / "planted"
    for name in wanted.read_text().split() if wanted.exists() else ():
        BUGS[name]()


def row_before_files() -> None:
    """A job's row is there before its input is."""

    async def accept(self: Intake, new: NewJob) -> Job:
        job = await self._jobs.create(new)
        await asyncio.to_thread(self.folders.accept, new.id)
        self._incoming.discard(new.id)
        return job

    Intake.accept = accept  # type: ignore[method-assign]


def credits_apart() -> None:
    """A job that ends settles its credits in a transaction of their own."""
    migrate, finish = store.connection.migrate, StageRepository.finish
    settle: list[str] = []

    def migrated(connection: sqlite3.Connection) -> int:
        number = migrate(connection)
        settle.append(part_trigger(connection))
        return number

    async def finished(self: StageRepository, stage: Stage, *arguments: Any) -> Any:
        ended = await finish(self, stage, *arguments)
        if ended.completed:
            await self._db.write(lambda db: db.execute(settle[0], {"job": stage.job_id}))
        return ended

    store.connection.migrate = migrated
    StageRepository.finish = finished  # type: ignore[method-assign]


def keeps_orphans() -> None:
    """What an API process had in hand when it died is not taken back."""

    async def recover(self: StageRepository, *_: Any) -> Recovered:
        return Recovered(0, [])

    StageRepository.recover = recover  # type: ignore[method-assign]


def deadly_songs() -> None:
    """A song called `deadly STAGE …` crashes the worker that has it in hand at that stage: in the
    separation once it has shared a batch, elsewhere at once."""
    receive, send = Channel.receive, Channel.send
    deadly: set[str] = set()

    def received(self: Channel) -> Any:
        message = receive(self)
        if isinstance(message, Task) and message.options.file_name.startswith(
            f"deadly {message.stage}"
        ):
            deadly.add(message.id)
            if message.stage != "separate":
                os.kill(os.getpid(), signal.SIGSEGV)
        return message

    def sent(self: Channel, message: Any) -> None:
        if isinstance(message, Progress | Result) and message.id in deadly:
            os.kill(os.getpid(), signal.SIGSEGV)
        send(self, message)

    Channel.receive = received  # type: ignore[method-assign]
    Channel.send = sent  # type: ignore[method-assign]


def leaks() -> None:
    """Every job that ends leaves a file open, a thread, and two megabytes."""
    clean = Attempts.clean
    held: list[Any] = []

    async def cleaned(self: Attempts, job_id: str) -> None:
        await clean(self, job_id)
        held.extend((os.open(os.devnull, os.O_RDONLY), bytearray(b"x" * (2 << 20))))
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    Attempts.clean = cleaned  # type: ignore[method-assign]


def part_trigger(connection: sqlite3.Connection) -> str:
    """Drops the trigger that ends a job whole; the statement that settles what it leaves open: of
    `:job`, or of all.
    """
    sql = "".join(text for _, text in available()).rpartition("CREATE TRIGGER job_is_over")[2]
    settle = sql.partition("BEGIN")[2].partition(";")[0]
    for what, instead in (
        ("NEW.state", "j.state"), ("NEW.completed_at", "j.completed_at"),
        ("NEW.created_at", "j.created_at"),
        ("WHERE held.job_id = NEW.id", "JOIN jobs j ON j.id = held.job_id WHERE j.state <>"
         " 'processing' AND j.id NOT IN (SELECT job_id FROM ledger WHERE kind IN"
         " ('capture', 'release')) AND j.id = coalesce(:job, j.id)"),
    ):  # fmt: skip
        settle = settle.replace(what, instead)
    assert "NEW" not in settle
    connection.execute("DROP TRIGGER IF EXISTS job_is_over")
    return settle


BUGS: dict[str, Callable[[], None]] = {
    "row-before-files": row_before_files,
    "credits-apart": credits_apart,
    "keeps-orphans": keeps_orphans,
    "deadly-songs": deadly_songs,
    "leaks": leaks,
}
