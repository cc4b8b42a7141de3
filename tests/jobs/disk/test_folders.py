"""Files that are looked for while others remove them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.jobs.disk.folders import PEAKS_FOLDER, Folders
from server.jobs.disk.room import DiskRoom
from server.upkeep.backup import _job_files

EXPECTED: Any = SimpleNamespace(tracks={("j", "vocals"): None}, inputs=(), uploads=())


@pytest.mark.parametrize("look", [
    lambda folders: folders.remove_parts("j"),
    lambda folders: DiskRoom(None, folders, 0)._written("j"),  # type: ignore[arg-type]
    lambda folders: _job_files(folders, EXPECTED),
], ids=["parts", "room", "backup"])  # fmt: skip
@pytest.mark.parametrize("listed", ["scratch/j", "outputs/j", f"outputs/j/{PEAKS_FOLDER}"])
def test_a_job_may_be_removed_while_its_files_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Folders], object], listed: str
) -> None:
    """It is removed at the moment that one of its folders is listed."""
    folders = Folders(tmp_path)
    folders.create()
    for place in (folders.scratch / "j", folders.outputs / "j" / PEAKS_FOLDER):
        place.mkdir(parents=True)
        (place / "vocals.f32.7.part").touch()
    scandir = os.scandir

    def removing(folder: Any) -> Any:
        if folder == tmp_path / listed or folder == str(tmp_path / listed):
            monkeypatch.undo()
            shutil.rmtree(folders.scratch / "j")
            shutil.rmtree(folders.outputs / "j")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", removing)
    look(folders)


def test_half_written_files_go_and_those_of_renders_stay(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    gone = ("a.wav.7.part", "composite/.main.wav.7.part", f"{PEAKS_FOLDER}/a.7.part")
    stay = ("a.wav", "composite/part", "mixes/a.wav.7.part")
    for name in (*gone, *stay):
        (folders.outputs / "j" / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.outputs / "j" / name).touch()
    folders.remove_parts("j")
    assert {name for name in (*gone, *stay) if (folders.outputs / "j" / name).exists()} == {*stay}
