"""A backup, a restore or an audit that is killed at any call changes nothing."""

import os
from pathlib import Path

from server.admin.asking import carry_out
from server.admin.messages import ListKeys
from server.errors import ConfigError, StemboxError
from server.upkeep.restore import restore
from tests.faults.killing import killed_at
from tests.upkeep.backing_up import backup, dump, silent
from tests.upkeep.backing_up import data as data
from tests.upkeep.places import files, look

CALLS = ("fsync", "rename", "link", "unlink", "rmdir", "mkdir")


def _restore(source: Path, data: Path) -> None:
    restore(source, data, silent)


def test_a_backup_that_is_killed_leaves_a_whole_one_or_none(data: Path, tmp_path: Path) -> None:
    step, place, before = 0, tmp_path / "place", files(data)
    place.mkdir()
    while killed_at(step, CALLS, backup, data, place / "b.tar"):
        if (place / "b.tar").exists():
            _restore(place / "b.tar", tmp_path / f"new{step}")
            (place / "b.tar").unlink()
        backup(data, place / "b.tar")
        assert [path.name for path in place.iterdir()] == ["b.tar"], step
        (place / "b.tar").unlink()
        assert look(data) == [], step
        step += 1
    assert step > 5
    for path in (data / "snapshots").iterdir():
        os.utime(path, (1, 1))
    backup(data, place / "last.tar")
    assert files(data) == before, "what the dead have left is removed in time"


def test_a_restore_that_is_killed_can_be_given_again(data: Path, tmp_path: Path) -> None:
    """No server starts on half of it."""
    backup(data, tmp_path / "b.tar")
    step = 0
    while killed_at(step, CALLS, _restore, tmp_path / "b.tar", new := tmp_path / f"new{step}"):
        try:
            carry_out(ListKeys(), new)
        except ConfigError:
            assert (new / ".restoring").exists()
        except StemboxError as error:
            if "no database" not in error.message:  # it had not begun
                raise
        else:
            assert dump(new) == dump(data)
        if not (new / "stembox.db").exists() or (new / ".restoring").exists():
            _restore(tmp_path / "b.tar", new)
        assert look(new) == [] and dump(new) == dump(data), step
        assert {k: v for k, v in files(new).items() if "snap" not in k} == files(data)
        step += 5
    assert step > 20


def test_an_audit_that_is_killed_has_changed_nothing(data: Path) -> None:
    before, step = files(data), 0
    while killed_at(step, CALLS, lambda: None if look(data) == [] else os._exit(3)):
        step += 1
    for path in (data / "snapshots").iterdir():
        os.utime(path, (1, 1))
    assert look(data) == [] and files(data) == before and step > 0
