"""Backups are whole or none, and restored they are what was backed up."""

import errno
import fcntl
import hashlib
import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from server.admin.asking import snapshot
from server.commands.upkeep import told
from server.errors import DiskFull, StemboxError
from server.upkeep import archive
from server.upkeep.backup import back_up
from server.upkeep.restore import restore
from store.copying import copy_database, opened_copy
from store.migrations import available
from tests.upkeep.backing_up import backup, dump, silent
from tests.upkeep.backing_up import data as data
from tests.upkeep.places import files, look, make


def test_all_of_it_comes_back(data: Path, tmp_path: Path) -> None:
    before = dump(data)
    backup(data, tmp_path / "b.tar")
    assert dump(data) == before
    told: list[float] = []
    restored = restore(tmp_path / "b.tar", tmp_path / "new", lambda name, done: told.append(done))
    assert dump(tmp_path / "new") == before
    assert files(tmp_path / "new") == files(data)
    assert look(tmp_path / "new") == [] and restored.findings == []
    assert restored.settled == ([], [], [])
    assert told == sorted(told) and told[-1] == 1.0
    assert oct((tmp_path / "b.tar").stat().st_mode)[-3:] == "600"
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("outputs", [True, False])
def test_a_backup_has_the_schema_that_the_server_has(
    tmp_path: Path, outputs: bool
) -> None:
    """Made before an upgrade, it is the way back from it."""
    data = make(tmp_path / "data")
    (data / "stembox.db").unlink()
    with closing(sqlite3.connect(data / "stembox.db", isolation_level=None)) as db:
        for number, sql in available()[:-1]:
            db.executescript(f"{sql}\nPRAGMA user_version = {number};")
    backup(data, tmp_path / "b.tar", outputs=outputs)
    with tarfile.open(tmp_path / "b.tar") as tar:
        tar.extract("stembox.db", tmp_path, filter="data")
    with closing(sqlite3.connect(tmp_path / "stembox.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (available()[-2][0],)
    assert not list(tmp_path.rglob("*-asked*"))


def test_what_has_not_ended_is_kept_before_what_has(data: Path, tmp_path: Path) -> None:
    """It ends, and loses its input, while gigabytes of outputs are written."""
    backup(data, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as tar:
        folders = [name.split("/")[0] for name in tar.getnames()]
    assert list(dict.fromkeys(folders)) == [
        "stembox.db", "secret", "scratch", "uploads", "outputs", "manifest.json"]  # fmt: skip


def test_a_backup_is_of_the_moment_of_its_database(data: Path, tmp_path: Path) -> None:
    """Its files may take hours; who looks for what came later begins there."""
    with snapshot(data) as copy:
        back_up(data, copy, 1000.0, tmp_path / "b.tar", True, silent)
    restored = restore(tmp_path / "b.tar", tmp_path / "new", silent)
    assert "is as it was at 1970-01-01 00:16:40 UTC" in told(restored, tmp_path / "new")


def test_what_is_there_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(b"precious")
    with pytest.raises(StemboxError, match="exists already"):
        backup(data, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"precious"
    backup(data, tmp_path / "c.tar")
    before = files(data)
    with pytest.raises(StemboxError, match="already"):
        restore(tmp_path / "c.tar", data, silent)
    assert files(data) == before and look(data) == []
    half = tmp_path / "half"
    (half / "outputs" / "x").mkdir(parents=True)
    with pytest.raises(StemboxError, match="not empty"):
        restore(tmp_path / "c.tar", half, silent)
    assert (half / "outputs" / "x").is_dir()


def test_a_damaged_secret_is_found_before_it_is_needed(data: Path, tmp_path: Path) -> None:
    (data / "secret").write_bytes(b"short")
    with pytest.raises(StemboxError, match="secret is damaged"):
        backup(data, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_a_backup_that_is_cut_anywhere_is_refused(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar")
    whole = (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "b.tar") as tar:
        last = tar.getmember("manifest.json")
    end = last.offset_data + last.size
    chance = random.Random(1)
    for cut in (0, 1, 511, 512, 513, end - 1, *(chance.randrange(end) for _ in range(60))):
        (tmp_path / "cut.tar").write_bytes(whole[:cut])
        with pytest.raises(StemboxError):
            restore(tmp_path / "cut.tar", tmp_path / "new", silent)
        assert {path.name for path in (tmp_path / "new").iterdir()} == {"lock"}, cut
    restore(tmp_path / "b.tar", tmp_path / "new", silent)
    assert look(tmp_path / "new") == []


def test_a_changed_byte_is_noticed(data: Path, tmp_path: Path) -> None:
    """Of what is stored, of names and sizes; not of padding, which means nothing."""
    backup(data, tmp_path / "b.tar")
    whole = bytearray((tmp_path / "b.tar").read_bytes())
    with tarfile.open(tmp_path / "b.tar") as tar:
        places = [(info.offset, info.offset_data, info.size) for info in tar]
    chance = random.Random(2)
    for offset, start, size in places:
        for at in (offset + chance.randrange(20), start + chance.randrange(size)):
            changed = bytearray(whole)
            changed[at] ^= 1 << chance.randrange(7)
            (tmp_path / "changed.tar").write_bytes(changed)
            try:
                restore(tmp_path / "changed.tar", tmp_path / "new", silent)
            except StemboxError:
                continue
            # a member's name that ends after its change, or a time in the manifest
            assert start == places[-1][1] and look(tmp_path / "new") == []
            shutil.rmtree(tmp_path / "new")


def crafted(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    stored = {info.name: archive.Stored(len(data), hashlib.sha256(data).hexdigest())
              for info, data in members}
    text = msgspec.json.encode(archive.Manifest(1, "1", 1.0, True, stored))
    with tarfile.open(path, "w") as tar:
        for info, data in (*members, (tarfile.TarInfo("manifest.json"), text)):
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", [
    "../evil", "/etc/evil", "outputs/../../evil", "outputs/a/../../../evil", "scratch/a/evil",
    "models/x/model.safetensors", "lock", "outputs/a", "stembox.db/x", "outputs//a/b",
    "uploads/a/b", "secret2", "./secret",
])
def test_names_that_no_backup_has(tmp_path: Path, name: str) -> None:
    made = crafted(tmp_path / "b.tar", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(StemboxError, match="what no backup holds"):
        restore(made, tmp_path / "new", silent)
    assert not list(tmp_path.rglob("evil"))


def test_links_are_no_part_of_a_backup(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        info = tarfile.TarInfo("secret")
        info.type, info.linkname = kind, "/etc/passwd"
        made = crafted(tmp_path / "b.tar", (info, b""))
        with pytest.raises(StemboxError, match="what no backup holds"):
            restore(made, tmp_path / "new", silent)


def test_a_backup_of_the_future_is_refused(data: Path, tmp_path: Path) -> None:
    with snapshot(data) as copy, opened_copy(copy) as db:
        db.execute("PRAGMA user_version = 9999")
        back_up(data, copy, 1.0, tmp_path / "b.tar", False, silent)
    with pytest.raises(StemboxError, match="newer"):
        restore(tmp_path / "b.tar", tmp_path / "new", silent)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"lock"}


def test_a_copy_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    """Somebody writes all the while: each copy has both halves of every change, or neither."""
    end, path = threading.Event(), data / "stembox.db"

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as db:
            number = 0
            while not end.is_set():
                number += 1
                db.execute("BEGIN IMMEDIATE")
                for half in "ab":
                    db.execute("INSERT INTO facts VALUES (?, ?)", (f"{half}{number}", "x" * 3000))
                db.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(20):
            copy_database(path, tmp_path / f"{turn}.db")
    finally:
        end.set()
        writer.join()
    counts = []
    for turn in range(20):
        with opened_copy(tmp_path / f"{turn}.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            halves = [db.execute("SELECT count(*) FROM facts WHERE name GLOB ?", (f"{half}[0-9]*",)
                                 ).fetchone()[0] for half in "ab"]
        assert halves[0] == halves[1]
        counts.append(halves[0])
    assert counts == sorted(counts) and counts[-1] > counts[0]


def test_files_that_are_removed_meanwhile_are_not_missed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job expires between the copy of the database and that of its file."""
    add = archive.ArchiveWriter.add

    def removing(self: archive.ArchiveWriter, name: str, path: Path) -> None:
        if name == "outputs/done/vocals.mp3":
            path.unlink()
        add(self, name, path)

    monkeypatch.setattr(archive.ArchiveWriter, "add", removing)
    backup(data, tmp_path / "b.tar")
    restored = restore(tmp_path / "b.tar", tmp_path / "new", silent)
    assert restored.settled.expired == ["done"] and look(tmp_path / "new") == []


def test_a_full_disk_is_said_and_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(data, tmp_path / "good.tar")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = tmp_path / "place"
    place.mkdir()
    with monkeypatch.context() as patches:
        patches.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            backup(data, place / "b.tar")
        with pytest.raises(DiskFull):
            restore(tmp_path / "good.tar", tmp_path / "new", silent)
    assert list(place.iterdir()) == []
    backup(data, place / "b.tar")


def test_a_file_system_without_links(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    place = tmp_path / "place"
    place.mkdir()
    backup(data, place / "b.tar")
    assert [path.name for path in place.iterdir()] == ["b.tar"]
    restore(place / "b.tar", tmp_path / "new", silent)


def test_what_killed_backups_leave_goes_with_the_next_of_another_name(
    data: Path, tmp_path: Path
) -> None:
    """And what another one is writing just now stays."""
    place = tmp_path / "place"
    place.mkdir()
    for name in ("dead.tar", "alive.tar"):
        (place / f".stembox-backup.{name}.part").write_bytes(b"half")
    with open(place / ".stembox-backup.alive.tar.part") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        backup(data, place / "b.tar")
        with pytest.raises(StemboxError, match=r"another backup .* runs"):
            backup(data, place / "alive.tar")
    assert {path.name for path in place.iterdir()} == {"b.tar", ".stembox-backup.alive.tar.part"}


def stembox(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "server.cli", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def test_the_commands(data: Path, tmp_path: Path) -> None:
    target, new = tmp_path / "b.tar", tmp_path / "new"
    assert stembox("backup", target, "--outputs", "--data-dir", data).returncode == 0
    again = stembox("backup", target, "--data-dir", data)
    assert (again.returncode, again.stdout) == (1, "") and "exists already" in again.stderr
    restored = stembox("restore", target, "--data-dir", new)
    assert restored.returncode == 0 and "is as it was at" in restored.stdout
    sound = stembox("audit", "--data-dir", new)
    assert (sound.returncode, sound.stdout) == (0, ""), sound.stdout
    (new / "secret").write_bytes(b"x")
    broken = stembox("audit", "--data-dir", new)
    assert (broken.returncode, broken.stdout) == (
        1, "secrets_are_kept: secret: 1 bytes, not 32\n"), broken.stderr
