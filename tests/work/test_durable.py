"""What is synced, and in which order, when a file appears in a folder that is new."""

import os
import wave
from pathlib import Path

import numpy as np
import pytest

from server.audio.writing.wav import WavWriter
from server.jobs.disk.folders import Folders
from server.work import durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of what was synced, and of what was renamed, each as it was called then."""
    done: list[Path] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        done.append(Path(target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return done


@pytest.mark.parametrize("made_before", [False, True], ids=["new", "made by one who died"])
def test_a_track_in_a_new_folder_outlives_a_power_cut(
    tmp_path: Path, synced: list[Path], made_before: bool
) -> None:
    target = tmp_path / "job" / "demucs_output" / "vocals.wav"
    target.parent.parent.mkdir()
    if made_before:
        target.parent.mkdir()
    with WavWriter(target, 4, "PCM_16") as wav:
        wav.write(np.zeros((4, 2), np.float32))
    content, name, *folders = synced
    assert content.parent == target.parent
    assert content.name.endswith(".part"), "the bytes first"
    assert name == target
    assert folders == [target.parent, target.parent.parent]
    with wave.open(str(target)) as file:
        assert file.getnframes() == 4


def test_an_accepted_job_has_its_folders(tmp_path: Path, synced: list[Path]) -> None:
    folders = Folders(tmp_path / "data")
    folders.create()
    assert {tmp_path / "data", tmp_path} <= set(synced)
    synced.clear()
    (folders.spool / "job").mkdir()
    folders.accept("job")
    assert synced == [folders.scratch / "job", folders.scratch, folders.outputs]


def test_a_folder_that_may_be_entered_and_not_listed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = durable.sync_folder

    def refused(folder: Path) -> None:
        if folder == tmp_path:
            raise PermissionError(13, "Permission denied")
        original(folder)

    monkeypatch.setattr(durable, "sync_folder", refused)
    (tmp_path / "out").mkdir()
    durable.sync_names(tmp_path / "out" / "a.wav")
    with pytest.raises(PermissionError):
        durable.sync_names(tmp_path / "a.wav")
