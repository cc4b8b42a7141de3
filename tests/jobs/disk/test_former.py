"""What lies in a faster place that is used no longer."""

import json
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from server.jobs.disk.folders import Folders
from server.jobs.disk.former import FILE, change_place, left_behind
from tests.upkeep.places import look, make


def start(data: Path, scratch: Path | None) -> Path | None:
    """As a server does; a job's files lie in the place then. Returns its folder there."""
    folders = Folders(data, scratch)
    folders.create()
    change_place(folders)
    if folders.fast is not None:
        (folders.fast / "job").mkdir(exist_ok=True)
        (folders.fast / "job" / "mix.f32").write_bytes(b"sound")
    return folders.private


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "a", tmp_path / "b"
    for place in made:
        place.mkdir()
        (place / "others").mkdir()
    return made


def test_what_former_settings_left_goes_at_the_next_start(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    data, (a, b) = tmp_path / "data", places
    for _ in range(2):
        first = start(data, a)
        assert first is not None
        assert (first / "jobs" / "job").exists(), "the same place stays"
    neighbour = start(tmp_path / "neighbour", a)
    second = start(data, b)
    assert first is not None and second is not None
    assert not first.exists() and second.exists()
    start(data, None)
    assert not second.exists()
    assert neighbour is not None and neighbour.exists()
    assert all((place / "others").exists() for place in places)


def test_without_such_places_nothing_is_remembered(tmp_path: Path) -> None:
    start(tmp_path / "data", None)
    assert not (tmp_path / "data" / FILE).exists()


@pytest.mark.parametrize("mounted", [True, False])
def test_a_place_that_is_missing_is_tried_again(
    tmp_path: Path, places: tuple[Path, Path], mounted: bool
) -> None:
    """Also where the folder is there that it is mounted on."""
    data, (a, b) = make(tmp_path / "data"), places
    first = start(data, a)
    a.rename(tmp_path / "away")
    if not mounted:
        a.mkdir()
    with capture_logs() as logs:
        start(data, b)
    assert [line["log_level"] for line in logs] == (["warning"] if mounted else [])
    assert first is not None and look(data) == []
    shutil.rmtree(a, ignore_errors=True)
    (tmp_path / "away").rename(a)
    assert first.exists()
    assert look(data) == [f"files_belong_to_somebody {first}"]
    start(data, b)
    assert not first.exists() and look(data) == []


def test_a_data_directory_that_was_moved_takes_its_files_along(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    first = start(tmp_path / "data", places[0])
    (tmp_path / "data").rename(tmp_path / "moved")
    second = start(tmp_path / "moved", places[0])
    assert first is not None and second is not None
    assert not first.exists() and second.exists() and first != second


def test_a_copy_leaves_its_originals_files_alone(tmp_path: Path, places: tuple[Path, Path]) -> None:
    first = start(tmp_path / "data", places[0])
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    start(tmp_path / "copy", places[1])
    assert first is not None and first.exists() and left_behind(tmp_path / "copy") == []


def test_nothing_else_is_ever_removed(tmp_path: Path, places: tuple[Path, Path]) -> None:
    """Whatever the file says, and whatever lies there."""
    data, (a, b) = tmp_path / "data", places
    first = start(data, a)
    assert first is not None
    file = data / FILE
    known = json.loads(file.read_text())
    known["places"][str(a / "others")] = str(data)
    file.write_text(json.dumps(known))
    shutil.rmtree(first)
    first.symlink_to(b)
    start(data, None)
    assert (a / "others").exists() and (b / "others").exists()
    for text in ("", "[]", '{"used": 1}', '{"used": "", "places": 1}'):
        file.write_text(text)
        start(data, b)
