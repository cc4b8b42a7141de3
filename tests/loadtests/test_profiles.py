"""Profiles, thresholds and songs: what ships is sound, and what is wrong is said."""

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import soundfile as sf

from loadtests.traffic import songs
from loadtests.traffic.profile import FOLDER, Thresholds, load_profile, load_thresholds
from loadtests.traffic.waiting import pauses, retry_after
from server.config import load


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.toml")))
def test_what_ships_is_sound(name: str) -> None:
    profile = load_profile(name)
    environ = {f"STEMBOX_{key.upper()}": str(value) for key, value in profile.settings.items()}
    load(environ=environ)
    if profile.shape.kind != "search":  # whose steps go on into each other
        assert profile.patience_s < profile.shape.seconds, "else nobody ever gives up"


def test_the_thresholds_that_ship() -> None:
    assert load_thresholds(FOLDER.parent / "thresholds.toml") != Thresholds()


@pytest.mark.parametrize(("text", "said"), [
    ("[shape]\nkind = 'steady'\nusers = 0\nseconds = 1", "users"),
    ("[shape]\nkind = 'wild'\nusers = 1\nseconds = 1", "wild"),
    ("[shape]\nkind = 'ramp'\nusers = 1\nseconds = 1\nuser = 2", "user"),
    ("[shape", "a.toml"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_profile(str(path))


def test_a_name_that_is_none_is_told_the_others() -> None:
    with pytest.raises(ValueError, match="cores2"):
        load_profile("nonesuch")


def test_songs_are_made_once_and_always_the_same(tmp_path: Path) -> None:
    first = songs.make(tmp_path / "a", [3.0, 33.0])
    for song, seconds in zip(first, (3.0, 33.0), strict=True):
        assert sf.info(song.path).frames == seconds * songs.SAMPLE_RATE
        assert song.seconds == seconds
    times = [song.path.stat().st_mtime_ns for song in first]
    assert [song.path.stat().st_mtime_ns for song in songs.make(tmp_path / "a", [3.0, 33.0])] == (
        times)
    (again,) = songs.make(tmp_path / "b", [3.0])
    assert again.read() == first[0].read()


def test_songs_are_picked_by_their_weights(tmp_path: Path) -> None:
    choice = [songs.Song(tmp_path, float(number)) for number in range(3)]
    chance = random.Random(1)
    found = Counter(songs.pick(choice, [3, 1, 0], chance).seconds for _ in range(1000))
    assert found.keys() == {0.0, 1.0} and 2 < found[0.0] / found[1.0] < 4


def test_partners_poll_less_and_less() -> None:
    found = list(islice(pauses(random.Random(1)), 20))
    assert 0.4 <= found[0] <= 0.6 and all(4 <= pause <= 6 for pause in found[10:])


@pytest.mark.parametrize(("headers", "seconds"), [
    ({"Retry-After": "7"}, 7.0), ({}, 2.0), ({"Retry-After": "soon"}, 2.0), (None, 2.0),
])  # fmt: skip
def test_retry_after_is_heeded(headers: dict[str, str] | None, seconds: float) -> None:
    assert retry_after(headers, 2.0) == seconds
