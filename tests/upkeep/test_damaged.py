"""A database whose file is damaged: said in a line by whoever reads it, and never backed up."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from server.errors import StemboxError
from server.upkeep.restore import restore
from tests.upkeep.backing_up import backup, silent
from tests.upkeep.backing_up import data as data
from tests.upkeep.places import look
from tests.upkeep.test_backup import stembox


def damage(data: Path, table: str) -> None:
    """The head of a table's first page says nothing that SQLite knows."""
    path = data / "stembox.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?",
                             [table]).fetchone()  # fmt: skip
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + 3)
        file.write(b"\xff\xff")


@pytest.mark.parametrize("outputs", [False, True])
def test_no_backup_is_made_of_a_damaged_database(data: Path, tmp_path: Path, outputs: bool) -> None:
    """The next would take the place of the last good one, and nobody could restore it."""
    damage(data, "jobs")
    with pytest.raises(StemboxError, match="the database is damaged, and nothing is written"):
        backup(data, tmp_path / "b.tar", outputs)
    assert not (tmp_path / "b.tar").exists()


def test_the_commands_say_it_in_a_line(data: Path, tmp_path: Path) -> None:
    damage(data, "ledger")
    orders: tuple[tuple[object, ...], ...] = (
        ("audit",), ("backup", tmp_path / "b.tar", "--outputs"),
        ("credits", "show", "--account", "ann"),
        ("credits", "grant", "--account", "ann", "--minutes", "1"),
    )  # fmt: skip
    for order in orders:
        said = stembox(*order, "--data-dir", data)
        assert said.returncode == 1 and "Traceback" not in said.stderr, (order, said.stderr)
        assert "database_is_whole: database" in said.stdout or "stembox: " in said.stderr


def test_whatever_byte_is_changed(data: Path, tmp_path: Path) -> None:
    """The audit finds something or nothing, and no backup is made that cannot be restored."""
    path = data / "stembox.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole, chance = path.read_bytes(), random.Random(3)
    for number in range(40):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            changed[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(changed)
        (tmp_path / "b.tar").unlink(missing_ok=True)
        try:
            look(data)
            backup(data, tmp_path / "b.tar", outputs=False)
        except StemboxError:
            assert not (tmp_path / "b.tar").exists()
        else:
            restore(tmp_path / "b.tar", tmp_path / f"new{number}", silent)
        for left in data.glob("stembox.db-*"):
            left.unlink()
