"""`stembox quality`: which files are songs, what is compared, and what the figures are."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from server.config import Config, load
from server.engine.library import choice
from server.errors import StemboxError
from server.starter.measuring.own_songs import find_songs, read_stems, score, wanted_of
from server.starter.measuring.report import Leak, Score
from server.starter.songs import synthesise
from tests.test_cli import stembox

RATE = 44100


def noise(seconds: float, seed: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((round(seconds * RATE), channels))).astype(np.float32)


def write_song(folder: Path, stems: dict[str, np.ndarray], rate: int = RATE) -> None:
    folder.mkdir(parents=True)
    for name, frames in stems.items():
        sf.write(folder / f"{name}.wav", frames, rate, subtype="FLOAT")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(environ={}, flags={"server.data_dir": str(tmp_path / "data")})


def test_songs_are_found_by_their_stems(tmp_path: Path) -> None:
    for place in ("test/B side", "test/A side"):
        write_song(tmp_path / place, {"mixture": noise(0.1, 0), "vocals": noise(0.1, 1),
                                      "drums": noise(0.1, 2)})
    write_song(tmp_path / "train" / "no stems", {"mixture": noise(0.1, 0), "vocals": noise(0.1, 0)})
    (tmp_path / "readme.txt").write_text("x")
    songs = find_songs(tmp_path)
    assert [song.folder.name for song in songs] == ["A side", "B side"]
    assert all(set(song.stems) == {"vocals", "drums"} for song in songs)
    for nothing in (tmp_path / "train", tmp_path / "none"):
        with pytest.raises(StemboxError, match="no folder with a file for each of two stems"):
            find_songs(nothing)


def test_what_is_the_sum_of_others_is_no_stem(tmp_path: Path) -> None:
    sounds = {name: noise(0.1, 1) for name in ("Vocals", "drums", "Mix", "instrumental")}
    write_song(tmp_path / "a", sounds)
    (tmp_path / "a" / "Vocals.wav").rename(tmp_path / "a" / "Vocals.WAV")
    (tmp_path / "a" / "._drums.wav").write_bytes(b"\0\5\x16\7")
    write_song(tmp_path / "b", {name: noise(0.1, 1) for name in ("vocals", "instrumental")})
    assert [set(song.stems) for song in find_songs(tmp_path)] == [
        {"vocals", "drums"}, {"vocals", "instrumental"}]  # fmt: skip


def test_what_can_be_compared(tmp_path: Path, config: Config) -> None:
    write_song(tmp_path / "a", {"vocals": noise(0.1, 1), "kazoo": noise(0.1, 2)})
    songs = find_songs(tmp_path)
    assert wanted_of(songs, choice.starter(config)) == ("vocals", "instrumental")
    write_song(tmp_path / "only" / "b", {"kazoo": noise(0.1, 1), "tuba": noise(0.1, 2)})
    with pytest.raises(StemboxError, match="starter makes none of kazoo, tuba"):
        wanted_of(find_songs(tmp_path / "only"), choice.starter(config))


def test_stems_of_one_length_and_two_channels(tmp_path: Path) -> None:
    write_song(tmp_path / "a", {"vocals": noise(0.5, 1, 1), "drums": noise(1.0, 2)})
    (song,) = find_songs(tmp_path)
    parts = read_stems(song, None)
    assert {part.shape for part in parts.values()} == {(2, RATE)}
    np.testing.assert_array_equal(parts["vocals"][0], parts["vocals"][1])
    assert not parts["vocals"][:, RATE // 2 :].any()
    assert read_stems(song, 0.25)["drums"].shape == (2, RATE // 4)


@pytest.mark.parametrize(("stems", "rate", "said"), [
    ({"a": noise(0.1, 0), "b": noise(0.1, 1)}, 48000, "want 44100 Hz, it has 48000"),
    ({"a": noise(0.1, 0, 3), "b": noise(0.1, 1)}, RATE, "want one or two channels, it has 3"),
    ({"a": noise(0, 0), "b": noise(0, 1)}, RATE, "no sound"),
])  # fmt: skip
def test_files_that_cannot_be_used(
    stems: dict[str, np.ndarray], rate: int, said: str, tmp_path: Path
) -> None:
    write_song(tmp_path / "a", stems, rate)
    with pytest.raises(StemboxError, match=said):
        read_stems(find_songs(tmp_path)[0], None)
    (tmp_path / "a" / "a.wav").write_bytes(b"no sound")
    with pytest.raises(StemboxError, match=r"a\.wav"):
        read_stems(find_songs(tmp_path)[0], None)


def test_figures() -> None:
    """An error a hundredth of the stem's power is 20 dB, in the vocals and in what is left."""
    parts = {"vocals": noise(1, 1).T, "drums": noise(1, 2).T,
             "bass": np.zeros((2, RATE), np.float32)}
    mix = parts["vocals"] + parts["drums"]
    error = 0.1 * noise(1, 3).T
    made = {"vocals": parts["vocals"] + error, "instrumental": parts["drums"] - error,
            "bass": 0.1 * mix, "unknown": mix}
    rows = list(score(7, parts, mix, made))
    scores = {(row.target, row.method): row.sdr for row in rows if isinstance(row, Score)}
    assert scores["vocals", "model"] == pytest.approx(20, abs=0.1)
    assert scores["instrumental", "model"] == pytest.approx(20, abs=0.1)
    assert scores["vocals", "mix"] == pytest.approx(0, abs=0.1)
    assert scores["vocals", "oracle"] > scores["vocals", "hpss"]
    (leak,) = [row for row in rows if isinstance(row, Leak) and row.method == "model"]
    assert (leak.song, leak.target) == (7, "bass") and leak.level_db == pytest.approx(-20, abs=0.1)
    assert {row.target for row in rows} == {"vocals", "instrumental", "bass"}


def test_the_command(tmp_path: Path) -> None:
    stems = {name: part.T for name, part in synthesise(2_000_100, 6).items()}
    four = {name: stems[name] for name in ("vocals", "drums", "bass")}
    four["other"] = stems["other"] + stems["guitar"] + stems["piano"]
    write_song(tmp_path / "songs" / "test" / "One", four)
    done = stembox("quality", tmp_path / "songs", "--model", "starter_fast", "--seconds", "4",
                   "--out", tmp_path / "out", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "| vocals" in done.stdout and "1 songs of 4 s" in done.stdout
    assert "seed" not in done.stdout and "silence in" not in done.stdout
    report = json.loads((tmp_path / "out" / "quality.json").read_text())
    (result,) = report["sets"]
    assert (report["model"], result["titles"]) == ("starter_fast", ["One"])
    assert set(result["targets"]) >= {"vocals", "drums", "bass", "other", "instrumental"}
    sdr = {(row["target"], row["method"]): row["sdr"] for row in result["scores"]}
    assert sdr["drums", "oracle"] > sdr["drums", "model"] > sdr["drums", "mix"]
    assert (tmp_path / "out" / "quality.png").exists()
