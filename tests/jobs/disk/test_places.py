"""Which jobs' scratch files lie in the faster place, and what becomes of them there."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from server.errors import ConfigError
from server.jobs.disk import places as module
from server.jobs.disk.folders import Folders, server_secret
from server.jobs.disk.places import FILES, ScratchPlaces

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
        folders = Folders(tmp_path / "data", tmp_path)
        monkeypatch.setattr(module.shutil, "disk_usage",
                            lambda folder: Usage(0, 0, free + (folder == folders.scratch)))
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
    places.open("a", 50.0)
    (places.of("a") / "mix.f32").write_bytes(b"sound")
    places.settle("a", MINUTE)
    assert not fast(places, "a")
    assert (places.of("a") / "mix.f32").read_bytes() == b"sound"
    places.open("b", 59.0)
    assert fast(places, "b"), "its room is free again"


def test_a_song_that_turns_out_shorter_takes_less_room(make) -> None:
    places = make(1)
    places.open("a", 59.0)
    places.settle("a", MINUTE // 2)
    assert fast(places, "a")
    places.open("b", 29.0)
    assert fast(places, "b")


def test_what_is_written_is_not_counted_twice(make) -> None:
    places = make(1.5)
    places.open("a", 59.0)
    with open(places.of("a") / "mix.f32", "wb") as mix:
        mix.truncate(MINUTE_BYTES // 2)
    places.open("b", 59.0)
    assert fast(places, "b")


def test_what_dead_attempts_wrote_is_not_counted_beside_the_next(make) -> None:
    """Else the room that is still to be written to would be given away."""
    places = make(1.5)
    places.open("a", 59.0)
    for attempt in (7, 8):
        with open(places.of("a") / f"vocals.f32.{attempt}.part", "wb") as part:
            part.truncate(MINUTE_BYTES // 4)
    places.open("b", 46.0)
    assert not fast(places, "b"), "a quarter is done, and not half of it"
    places.open("b", 44.0)
    assert fast(places, "b")


def test_a_job_of_many_files_has_room_for_all_of_them(make) -> None:
    places = make(1.5)
    places.open("a", 59.0, 2 * FILES)
    assert not fast(places, "a"), "as much as two others"
    places.open("b", 29.0, 2 * FILES)
    places.settle("b", MINUTE // 2, 2 * FILES)
    assert fast(places, "b")
    places.open("c", 59.0)
    assert not fast(places, "c")


def test_nothing_but_the_mix_is_kept_for_late_stages(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    places = ScratchPlaces(folders)
    folder = places.of("a")
    folder.mkdir()
    for name in ("mix.f32", "vocals.f32", "vocals.f32.12.part", ".vocals.f32.12.part", "input"):
        (folder / name).touch()
    places.keep_mix("a")
    assert {path.name for path in folder.iterdir()} == {"mix.f32", "input"}


def test_a_length_that_was_rounded_is_no_reason_to_move(make) -> None:
    places = make(100)
    for frames in range(100_000, 100_100):
        places.open("a", frames / 44_100)
        places.settle("a", frames + 1)
        assert fast(places, "a")


def test_what_found_no_room_stays_on_the_disk(make) -> None:
    places = make(1)
    places.open("a", 59.0)
    (places.of("a") / "mix.f32.7.part").touch()
    places.to_disk("a")
    places.open("a", 59.0)
    assert not fast(places, "a")
    assert not list(places.of("a").glob("*.part"))


def test_what_does_not_fit_on_the_disk_stays_and_leaves_nothing_there(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, copy = make(1), shutil.copyfile
    places.open("a", 59.0)
    for name in ("mix.f32", "drums.f32"):
        (places.of("a") / name).write_bytes(b"sound")

    def full(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == files[-1].name:
            raise OSError(errno.ENOSPC, "full")

    files = list(places.of("a").glob("*.f32"))
    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(OSError, match="full"):
        places.to_disk("a")
    assert fast(places, "a") and all(file.read_bytes() == b"sound" for file in files)
    assert not list((places._disk / "a").glob("*.f32"))


def test_a_job_whose_tracks_find_no_room_may_have_the_faster_place_again(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = make(1)
    places.open("a", 59.0)
    assert places.is_short("a")
    free = {"scratch": 0.0}
    monkeypatch.setattr(module.shutil, "disk_usage",
                        lambda folder: Usage(0, 0, free.get(folder.name, 1e12)))  # fmt: skip
    assert not places.is_short("a")
    places.start_over("a")
    places.open("a", 59.0)
    assert fast(places, "a")


def test_what_starts_over_holds_no_room_however_full_the_disk_is(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    places = make(1)
    places.open("a", 59.0)
    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(OSError, match="full"):
        places.start_over("a")
    assert not fast(places, "a")


def test_another_attempt_takes_no_more_room(make) -> None:
    places = make(1)
    for _ in range(3):
        places.open("a", 59.0)
        assert fast(places, "a")


def test_of_a_completed_job_the_mix_is_left(make) -> None:
    places = make(1)
    for job, seconds in (("a", 59.0), ("b", 0.0)):
        places.open(job, seconds)
        for name in ("mix", "vocals"):
            (places.of(job) / f"{name}.f32").touch()
        places.keep_mix(job)
        assert [file.name for file in places.of(job).glob("*.f32")] == ["mix.f32"]
    places.open("c", 59.0)
    assert fast(places, "c")


def test_a_place_that_is_gone_is_done_without(make, tmp_path: Path) -> None:
    places = make(1)
    folder = Folders(tmp_path / "data", tmp_path).fast
    assert folder is not None
    shutil.rmtree(folder.parent)
    places.open("a", 59.0)
    assert not fast(places, "a")


def test_an_emptied_place_is_another_one(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folders = Folders(tmp_path / "data", tmp_path)
        folders.create()
        names.append(folders.fast_name)
        if len(names) == 2:
            for path in tmp_path.glob("stembox-*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert names[0] == names[1] != names[2]


def test_nobody_else_can_prepare_the_folder(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "data", tmp_path)
    assert folders.fast is not None
    private = folders.fast.parent
    assert folders.fast != Folders(tmp_path / "other", tmp_path).fast, "servers keep apart"
    (tmp_path / "elsewhere").mkdir()
    private.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="belongs to someone else"):
        folders.create()
    shutil.rmtree(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        Folders(tmp_path / "data", tmp_path / "missing").create()


@pytest.mark.parametrize(("mode", "above", "sentence"), [
    (0o777, 0o700, "open to others"), (0o750, 0o700, "open to others"),
    (0o700, 0o777, "lets everybody replace"),
])  # fmt: skip
def test_a_folder_that_others_may_change_is_not_used(
    tmp_path: Path, mode: int, above: int, sentence: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    folders = Folders(tmp_path / "data", shared)
    assert folders.fast is not None
    folders.fast.parent.mkdir()
    folders.fast.parent.chmod(mode)
    shared.chmod(above)
    with pytest.raises(ConfigError, match=sentence):
        folders.create()
    folders.fast.parent.chmod(0o700)
    shared.chmod(0o1777)  # as /tmp and /dev/shm are
    folders.create()


def test_nothing_that_can_be_guessed_is_written_outside_the_private_folder(tmp_path: Path) -> None:
    """Whoever may write to the shared place can put links there: none of them is followed."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    victim.write_text("precious")
    folders = Folders(tmp_path / "data", shared)
    assert folders.fast is not None
    name = folders.fast.parent.name
    for guess in (f"{name}.id", f"{name}.{os.getpid()}.part", f"{name}.id.part", f"{name}.part"):
        (shared / guess).symlink_to(victim)
    folders.create()
    assert victim.read_text() == "precious"
    assert {path.name for path in shared.iterdir() if not path.is_symlink()} == {name}


def test_a_link_in_the_way_of_a_secret_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("server.jobs.disk.folders.secrets.token_hex", lambda size=0: "guessed")
    (tmp_path / "secret.guessed.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        server_secret(tmp_path)
    assert victim.read_text() == "precious"


def test_what_an_older_stembox_left_there_goes(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "data", tmp_path)
    assert folders.fast is not None
    (folders.fast.parent / "job").mkdir(parents=True)
    (folders.fast.parent / "job" / "mix.f32").touch()
    folders.fast.parent.chmod(0o700)
    folders.create()
    assert {path.name for path in folders.fast.parent.iterdir()} == {"jobs", "id"}
