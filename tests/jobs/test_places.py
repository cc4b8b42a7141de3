"""Which jobs' scratch files lie in the faster place, and what becomes of them there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from server.errors import ConfigError
from server.jobs import places as module
from server.jobs.folders import Folders
from server.jobs.places import ScratchPlaces

MINUTE = 60 * 44_100
MINUTE_BYTES = MINUTE * 8 * 7


class Usage(NamedTuple):
    total: float
    used: float
    free: float


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], ScratchPlaces]:
    """Places with room for so many minutes of songs."""
    def made(minutes: float) -> ScratchPlaces:
        free = minutes * MINUTE_BYTES
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage(0, 0, free))
        folders = Folders(tmp_path / "data", tmp_path)
        folders.create()
        for job in "abc":
            (folders.scratch / job).mkdir()
            (folders.scratch / job / "input").touch()
        return ScratchPlaces(folders)

    return made


def fast(places: ScratchPlaces, job: str) -> bool:
    return places.of(job).parent.name != "scratch"


def test_without_a_faster_place_all_is_on_the_disk(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    places = ScratchPlaces(folders)
    places.open("a", 60.0)
    places.settle("a", MINUTE)
    assert places.of("a") == tmp_path / "scratch" / "a"


def test_songs_go_there_while_there_is_room_for_all_of_them(make) -> None:
    places = make(2.5)
    for job, seconds in (("a", 60.0), ("b", 61.0), ("c", 60.0)):
        places.open(job, seconds)
    assert [fast(places, job) for job in "abc"] == [True, True, False]
    assert not (places.of("a") / "input").exists(), "the input outlives a power cut, on the disk"
    places.remove("a")
    assert not fast(places, "a")
    places.open("c", 60.0)
    assert fast(places, "c")


@pytest.mark.parametrize("seconds", [0.0, 61.0])
def test_a_song_of_unknown_length_or_too_long_stays_on_the_disk(make, seconds: float) -> None:
    places = make(1)
    places.open("a", seconds)
    assert not fast(places, "a")


def test_a_song_that_turns_out_longer_goes_to_the_disk(make) -> None:
    places = make(1)
    places.open("a", 59.0)
    (places.of("a") / "mix.f32").write_bytes(b"sound")
    places.settle("a", MINUTE)
    assert not fast(places, "a")
    assert (places.of("a") / "mix.f32").read_bytes() == b"sound"
    places.open("b", 60.0)
    assert fast(places, "b"), "its room is free again"


def test_a_song_that_turns_out_shorter_takes_less_room(make) -> None:
    places = make(1)
    places.open("a", 60.0)
    places.settle("a", MINUTE // 2)
    assert fast(places, "a")
    places.open("b", 30.0)
    assert fast(places, "b")


def test_what_found_no_room_is_decoded_on_the_disk(make) -> None:
    places = make(1)
    places.open("a", 60.0)
    (places.of("a") / "mix.f32").touch()
    places.refuse("a")
    places.open("a", 60.0)
    assert not fast(places, "a")
    assert not (places.of("a") / "mix.f32").exists()


def test_another_attempt_takes_no_more_room(make) -> None:
    places = make(1)
    for _ in range(3):
        places.open("a", 60.0)
        assert fast(places, "a")


def test_nobody_else_can_prepare_the_folder(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "data", tmp_path)
    assert folders.fast is not None
    assert folders.fast != Folders(tmp_path / "other", tmp_path).fast, "servers keep apart"
    (tmp_path / "elsewhere").mkdir()
    folders.fast.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="belongs to someone else"):
        folders.create()
    shutil.rmtree(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        Folders(tmp_path / "data", tmp_path / "missing").create()
