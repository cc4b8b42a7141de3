"""What the audio tasks say of a song that cannot be prepared, without Ray."""

import errno
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

from server.catalogue import audio_tasks, storage
from server.catalogue.keys import commit_of
from server.catalogue.orders import Failure, Order
from tests.catalogue.test_keys import RECIPE


@pytest.fixture(autouse=True)
def _unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_tasks, "_prepare_process", lambda memory_mb: None)  # it lasts


def order(location: object, folder: Path) -> Order:
    return Order(
        name="one", location=str(location), known="", folder=str(folder / "scratch"),
        output=str(folder / "out"), recipe=RECIPE, max_seconds=600.0, memory_mb=1024,
    )  # fmt: skip


def refused(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception,
            location: str = "/a.wav") -> Any:  # fmt: skip
    """What is said where fetching raises."""

    def fetch(*_: object) -> None:
        raise error

    monkeypatch.setattr(storage, "fetch", fetch)
    return audio_tasks.prepare(order(location, folder))


def test_what_is_not_on_this_machine_may_be_on_another(tmp_path: Path) -> None:
    why = "There is no such file"
    assert audio_tasks.prepare(order("/nowhere/a.wav", tmp_path)) == Failure("missing", why)


def test_what_is_not_in_a_bucket_is_not_there_for_anybody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failure = refused(monkeypatch, tmp_path, storage.NoSuchObject("no"), "s3://b/a.wav")
    assert failure == Failure("input", "no")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_machine_without_room_is_no_songs_fault(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failure = refused(monkeypatch, tmp_path, OSError(number, "so"))
    assert failure == Failure("station", f"{tmp_path}/scratch: so")


def test_an_output_without_room_is_no_songs_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert refused(monkeypatch, tmp_path, storage.NoRoom("full")) == Failure("station", "full")


def test_another_error_of_a_machine_may_be_a_chance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failure = refused(monkeypatch, tmp_path, OSError(errno.EIO, "so"))
    assert failure == Failure("internal", f"OSError: [Errno {errno.EIO}] so")


def test_what_was_read_and_is_no_sound_says_which_version_that_is(tmp_path: Path) -> None:
    song = tmp_path / "a.mp3"
    song.write_bytes(b"no sound" * 999)
    failure = audio_tasks.prepare(order(song, tmp_path))
    assert isinstance(failure, Failure) and failure.kind == "input"
    fetched = storage.fetch(str(song), tmp_path / "copy")
    assert fetched is not None and failure.version == fetched.version


@pytest.mark.parametrize("content", [b"", b'{"key": "k"', b"{}"])
def test_a_result_that_is_damaged_is_named(content: bytes, tmp_path: Path) -> None:
    place = tmp_path / commit_of("k")
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    with pytest.raises(storage.StorageError, match=f"{place} is damaged: remove it"):
        audio_tasks.committed(str(tmp_path), "k")
    place.unlink()
    assert audio_tasks.committed(str(tmp_path), "k") is None
