"""Where a backup may lie."""

import os
from pathlib import Path

import pytest

from server.cli import main
from server.errors import StemboxError
from server.jobs.disk.folders import Folders
from tests.upkeep.backing_up import backup
from tests.upkeep.backing_up import data as data
from tests.upkeep.places import files


@pytest.mark.parametrize("place", [
    "outputs/done", "outputs/new", "scratch", "spool", "uploads", "snapshots", "pending",
    "../link", "outputs/../scratch", "../fast/{}/jobs",
])  # fmt: skip
def test_no_backup_is_made_where_the_server_would_remove_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    place: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STEMBOX_SERVER__SCRATCH_DIR", str(tmp_path / "fast"))
    (tmp_path / "fast").mkdir()
    (tmp_path / "link").symlink_to(data / "outputs" / "done")
    fast = Folders(data, tmp_path / "fast").fast
    before = files(tmp_path)
    target = data / place.format(fast.parent.name) / "b.tar"
    assert main(["backup", str(target), "--data-dir", str(data)]) == 1
    said = capsys.readouterr().err
    assert "would not be kept" in said and f"outside {data}" in said and said.count("\n") == 1
    assert files(tmp_path) == before


def test_a_backup_may_lie_beside_the_folders_of_jobs(data: Path) -> None:
    (data / "backups").mkdir()
    for target in (data / "b.tar", data / "backups" / "b.tar"):
        assert main(["backup", str(target), "--data-dir", str(data)]) == 0


@pytest.mark.parametrize("prepared", ["symlink", "pipe", "folder", "file"])
def test_what_others_have_put_where_a_backup_grows_is_not_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: str
) -> None:
    place, own = tmp_path / "place", tmp_path / "own"
    place.mkdir()
    own.write_bytes(b"the operator's")
    part = place / ".stembox-backup.b.tar.part"
    if prepared == "symlink":
        part.symlink_to(own)
    elif prepared == "pipe":
        os.mkfifo(part)
    elif prepared == "folder":
        part.mkdir()
    else:
        part.write_bytes(b"theirs")
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StemboxError, match=r"b\.tar\.part is in the way, and not ours"):
        backup(data, place / "b.tar")
    assert own.read_bytes() == b"the operator's"
    assert list(place.iterdir()) == [part]
    backup(data, place / "c.tar")
    assert prepared != "file" or part.read_bytes() == b"theirs"
