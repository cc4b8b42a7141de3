"""One data directory, wanted by two at a time."""

import fcntl
from pathlib import Path

import pytest

from server.admin.asking import carry_out
from server.admin.messages import ListKeys
from server.errors import StemboxError
from server.jobs.disk.folders import Folders
from server.upkeep.restore import restore
from tests.upkeep.backing_up import backup, silent
from tests.upkeep.backing_up import data as data


def test_a_directory_in_use_is_not_restored_into(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar")
    (tmp_path / "new").mkdir()
    with open(tmp_path / "new" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StemboxError, match="in use"):
            restore(tmp_path / "b.tar", tmp_path / "new", silent)
    restore(tmp_path / "b.tar", tmp_path / "new", silent)


def test_a_restore_that_runs_is_not_called_cut_off(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar")
    new, said = tmp_path / "new", set()

    def others(name: str, done: float) -> None:
        commands = (lambda: carry_out(ListKeys(), new), Folders(new).create,
                    lambda: backup(new, tmp_path / "c.tar"),
                    lambda: restore(tmp_path / "b.tar", new, silent))  # fmt: skip
        for command in commands if done < 1 else ():
            with pytest.raises(StemboxError) as refused:
                command()
            said.add(refused.value.message)

    restore(tmp_path / "b.tar", new, others)
    assert said == {f"a restore into {new} is under way"}
    (new / ".restoring").mkdir()
    with pytest.raises(StemboxError, match="was cut off: give it again"):
        carry_out(ListKeys(), new)
