"""A data directory with jobs in many states, backed up and restored."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from server.admin.asking import snapshot
from server.upkeep.backup import back_up
from tests.upkeep.places import make


def silent(name: str, done: float) -> None: ...


def backup(data: Path, target: Path, outputs: bool = True) -> None:
    with snapshot(data) as copy:
        back_up(data, copy, time.time(), target, outputs, silent)


def dump(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "stembox.db")) as db:
        return [line for line in db.iterdump() if "machine_boot" not in line]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make(tmp_path / "data")
