"""How much room the files of unfinished jobs take on the disk, and who gives way to whom.

Methods are coroutines on a `Database`; each is one transaction. Knows no files.
"""

import sqlite3
from typing import NamedTuple

from store.connection import Database
from store.records import Room, Stage
from store.stages import fenced
from store.statements import load

SQL = load("rooms")


class Unfinished(NamedTuple):
    """The jobs that are queued or running: those whose files are being written, by their ids; and
    of the others together the largest scratch files, and all tracks."""

    begun: dict[str, Room]
    waiting: Room


class RoomRepository:
    """The rooms of one database's jobs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def first_to_decode(self) -> tuple[str, Room] | None:
        """The job whose turn it is to be decoded, and the room that it takes."""
        return await self._db.read(_first_to_decode)

    async def unfinished(self) -> Unfinished:
        """What all jobs take that are queued or running."""
        return await self._db.read(_unfinished)

    async def set(self, job_id: str, room: Room, seconds: float | None = None) -> None:
        """Keeps what a job really takes; seconds: how long its song really is, if that is new."""
        await self._db.write(_set, job_id, room, seconds)

    async def give_way(self, stage: Stage) -> bool:
        """Rewinds the job of a claimed stage to its input, if it has not ended and one that is due
        earlier has begun.

        Raises LeaseLost.
        """
        return await self._db.write(_give_way, stage)


def _first_to_decode(db: sqlite3.Connection) -> tuple[str, Room] | None:
    row = db.execute(SQL["first_to_decode"]).fetchone()
    return None if row is None else (row["id"], _room(row))


def _unfinished(db: sqlite3.Connection) -> Unfinished:
    begun = {row["id"]: _room(row) for row in db.execute(SQL["begun"])}
    return Unfinished(begun, _room(db.execute(SQL["waiting"]).fetchone()))


def _room(row: sqlite3.Row) -> Room:
    return Room(row["scratch_bytes"], row["output_bytes"])


def _set(db: sqlite3.Connection, job_id: str, room: Room, seconds: float | None) -> None:
    db.execute(SQL["set_room"], {
        "id": job_id, "scratch": room.scratch, "outputs": room.outputs, "seconds": seconds,
    })  # fmt: skip


def _give_way(db: sqlite3.Connection, stage: Stage) -> bool:
    values = {"id": stage.job_id}
    if db.execute(SQL["keeps_its_room"], values).fetchone()[0]:
        return False
    fenced(db, "release_stage", stage, {"error": None, "charge": 0})
    db.execute(SQL["rewind_job"], values)
    db.execute(SQL["forget_tracks"], values)
    return True
