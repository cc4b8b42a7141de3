"""`stembox quality`: which files are songs, what is compared, and what the figures are."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from server.config import Config, load
from server.engine.library import choice
from server.errors import StemboxError
from server.presets import Layout, Stage
from server.starter.measuring.own_songs import score, told_apart, wanted_of
from server.starter.measuring.report import Leak, Score
from server.starter.measuring.song_folders import Sounds, check_songs, find_songs, read_song
from server.starter.songs import synthesise
from tests.harness import stembox

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


def test_names_as_models_have_them(tmp_path: Path) -> None:
    write_song(tmp_path / "a", {name: noise(0.1, 1) for name in (
        "Lead Vocals", "drums", "Mix", "No Vocals", "Гусли")})  # fmt: skip
    (tmp_path / "a" / "drums.wav").rename(tmp_path / "a" / "drums.WAV")
    (tmp_path / "a" / "._bass.wav").write_bytes(b"\0\5\x16\7")
    (song,) = find_songs(tmp_path)
    assert set(song.stems) == {"lead_vocals", "drums", "instrumental", "гусли"}
    assert song.mixture == tmp_path / "a" / "Mix.wav"


def test_songs_that_are_links(tmp_path: Path) -> None:
    write_song(tmp_path / "elsewhere" / "song", {"a": noise(0.1, 1), "b": noise(0.1, 2)})
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "mine").symlink_to(tmp_path / "elsewhere" / "song")
    (folder / "round").symlink_to(folder)
    (song,) = find_songs(folder)
    assert song.folder == folder / "mine"


V, L, B, D, S = (noise(0.5, seed) for seed in range(5))  # lead and backing voices, drums, strings


@pytest.mark.parametrize(("files", "counted"), [
    ({"vocals": V, "drums": D, "bass": S, "instrumental": D + S}, "vocals drums bass"),
    ({"vocals": V, "instrumental": D}, "vocals instrumental"),
    ({"vocals": V, "drums": D, "accompaniment": D + S}, "vocals instrumental"),
    ({"vocals": V, "drums": D, "bass": S, "no_vocals": D + S, "linear_mixture": V + D + S,
      "mixture": 3 * V}, "vocals drums bass"),
    ({"vocals": L + B, "lead_vocals": L, "backing_vocals": B, "instrumental": D},
     "vocals instrumental"),
    ({"lead_vocals": L, "backing_vocals": B, "instrumental": D},
     "lead_vocals backing_vocals instrumental"),
    ({"vocals": V, "drums": D, "bass": 0 * S, "mixture": V + D}, "vocals drums bass"),
    ({"vocals": V, "drums": D, "mixture": V + D + 0.01 * S}, "vocals drums"),
])  # fmt: skip
def test_each_sound_is_in_the_mix_once(
    files: dict[str, np.ndarray], counted: str, tmp_path: Path
) -> None:
    write_song(tmp_path / "a", files)
    sounds = read_song(find_songs(tmp_path)[0], None)
    assert set(sounds.counted) == set(counted.split())
    np.testing.assert_allclose(sounds.mix, sum(files[name if name in files else next(
        other for other in ("no_vocals", "accompaniment") if other in files)]
        for name in sounds.counted).T, atol=1e-6)  # fmt: skip
    assert set(sounds.stems) >= set(sounds.counted)


@pytest.mark.parametrize(("files", "said"), [
    ({"vocals": L, "backing_vocals": B, "drums": D}, "backing_vocals.wav is not heard in vocals"),
    ({"vocals": V, "drums": D, "instrumental": S}, "drums.wav is not heard in instrumental"),
    ({"vocals": V, "drums": D, "mixture": V + D + 0.1 * S}, "mixture.wav is not the sum of"),
    ({"vocals": V, "drums": D, "Mix": 0.9 * (V + D)}, "Mix.wav is not .*: -19 dB of it differ"),
])  # fmt: skip
def test_a_mix_that_cannot_be_told_is_refused(
    files: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    write_song(tmp_path / "song", files)
    with pytest.raises(StemboxError, match=f"song: {said}"):
        read_song(find_songs(tmp_path)[0], None)


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
    parts = read_song(song, None).stems
    assert {part.shape for part in parts.values()} == {(2, RATE)}
    np.testing.assert_array_equal(parts["vocals"][0], parts["vocals"][1])
    assert not parts["vocals"][:, RATE // 2 :].any()
    assert read_song(song, 0.25).mix.shape == (2, RATE // 4)


@pytest.mark.parametrize(("stems", "rate", "said"), [
    ({"a": noise(0.1, 0), "b": noise(0.1, 1)}, 48000, "want 44100 Hz, it has 48000"),
    ({"a": noise(0.1, 0, 3), "b": noise(0.1, 1)}, RATE, "want one or two channels, it has 3"),
    ({"a": noise(0, 0), "b": noise(0, 1)}, RATE, "no sound"),
    ({"a": noise(0.1, 0), "b": np.where(noise(0.1, 1) > 0.3, np.nan, noise(0.1, 1))}, RATE,
     r"b\.wav: samples that are no numbers"),
    ({"a": noise(0.1, 0), "b": 32768 * noise(0.1, 1)}, RATE, "where full scale is 1"),
])  # fmt: skip
def test_files_that_cannot_be_used(
    stems: dict[str, np.ndarray], rate: int, said: str, tmp_path: Path
) -> None:
    write_song(tmp_path / "a", stems, rate)
    songs = find_songs(tmp_path)
    with pytest.raises(StemboxError, match=said):
        read_song(songs[0], None)
    if said.startswith("want"):  # what a file's head tells
        with pytest.raises(StemboxError, match=said):
            check_songs(songs)
    (tmp_path / "a" / "a.wav").write_bytes(b"no sound")
    for use in (check_songs, lambda songs: read_song(songs[0], None)):
        with pytest.raises(StemboxError, match=r"a\.wav"):
            use(songs)


def test_figures() -> None:
    """An error a hundredth of the stem's power is 20 dB, in the vocals and in what is left."""
    parts = {"vocals": noise(1, 1).T, "drums": noise(1, 2).T,
             "bass": np.zeros((2, RATE), np.float32)}
    mix = parts["vocals"] + parts["drums"]
    error = 0.1 * noise(1, 3).T
    made = {"vocals": parts["vocals"] + error, "instrumental": parts["drums"] - error,
            "bass": 0.1 * mix, "unknown": mix}
    rows = list(score(7, Sounds(parts, mix, list(parts)), made, made))
    scores = {(row.target, row.method): row.sdr for row in rows if isinstance(row, Score)}
    assert scores["vocals", "model"] == pytest.approx(20, abs=0.1)
    assert scores["instrumental", "model"] == pytest.approx(20, abs=0.1)
    assert scores["vocals", "mix"] == pytest.approx(0, abs=0.1)
    assert scores["vocals", "oracle"] > scores["vocals", "hpss"]
    (leak,) = [row for row in rows if isinstance(row, Leak) and row.method == "model"]
    assert (leak.song, leak.target) == (7, "bass") and leak.level_db == pytest.approx(-20, abs=0.1)
    assert {row.target for row in rows} == {"vocals", "instrumental", "bass"}


FIVE = {name: noise(1, seed).T for seed, name in enumerate(
    ("vocals", "drums", "bass", "other", "guitar"))}  # fmt: skip


@pytest.mark.parametrize("model", ["vocals other", "vocals drums bass other",
                                   "vocals drums bass other guitar", "guitar other"])
@pytest.mark.parametrize("song", ["vocals other", "vocals drums bass other",
                                  "vocals drums bass other guitar"])
def test_what_is_left_is_the_same_on_both_sides(model: str, song: str) -> None:
    """A model without a fault has no error in `other`, whatever the songs' is."""
    mix = sum(FIVE.values())

    def told(apart: str) -> dict[str, np.ndarray]:
        made = {name: FIVE[name] for name in apart.split() if name != "other"}
        return made | {"other": mix - sum(made.values())}

    rows = list(score(0, Sounds(told(song), mix, song.split()), told(model), model.split()))
    scores = {row.method: row.sdr for row in rows if row.target == "other"
              and isinstance(row, Score)}  # fmt: skip
    if model == "guitar other" and song != "vocals drums bass other guitar":
        assert scores["mix"] > 100, "of what nothing is apart, the rest is all"
    assert scores["model"] > 100


def preset(offers: str, *steps: tuple[str, str]) -> choice.Choice:
    """Steps, each an input and the stems that it makes of it."""
    stages = tuple(Stage(("m",), source, {stem: (stem,) for stem in made.split()}, {})
                   for source, made in steps)  # fmt: skip
    return choice.Choice("p", tuple(offers.split()), (), Layout(stages, tuple(offers.split()), {}))


@pytest.mark.parametrize(("model", "apart"), [
    (choice.Choice("m", ("vocals", "drums", "other"), ()), "vocals drums other"),
    (choice.Choice("m", ("kick", "snare"), ()), "kick snare"),
    (choice.Choice("m", ("vocals", "lead_vocals", "other", "guitar"), ()), "vocals other guitar"),
    (preset("vocals drums other kick rest", ("mix", "vocals drums other"), ("drums", "kick rest")),
     "vocals drums other"),
    (preset("vocals other dry", ("mix", "vocals"), ("mix", "vocals other"), ("vocals", "dry")),
     "vocals other"),
    (preset("lead other", ("mix", "vocals other"), ("vocals", "lead")), "other"),
], ids=str)  # fmt: skip
def test_what_is_within_another_stem_is_not_of_the_rest(model: choice.Choice, apart: str) -> None:
    assert told_apart(model) == tuple(apart.split())
    made = FIVE | {"kick": FIVE["drums"], "rest": FIVE["drums"], "dry": FIVE["vocals"]}
    mix = sum(FIVE.values())
    rows = score(0, Sounds(FIVE, mix, list(FIVE)), made, list(FIVE))
    assert {row.sdr > 100 for row in rows if isinstance(row, Score) and row.method == "model"} == {
        True}


def test_a_rest_that_no_file_has_has_no_figures() -> None:
    stems = FIVE | {"instrumental": FIVE["other"] + FIVE["drums"] + noise(1, 9).T}
    del stems["bass"], stems["guitar"]
    mix = stems["vocals"] + stems["instrumental"]
    rows = list(score(0, Sounds(stems, mix, ["vocals", "instrumental"]), FIVE, FIVE))
    assert {row.target for row in rows} == {"vocals", "drums"}


def test_a_bad_song_costs_no_other(tmp_path: Path) -> None:
    stems = {name: part.T for name, part in synthesise(2_000_100, 3).items()}
    two = {"vocals": stems["vocals"], "drums": stems["drums"]}
    write_song(tmp_path / "songs" / "good", two)
    write_song(tmp_path / "songs" / "bad", two | {"mixture": stems["bass"]})
    write_song(tmp_path / "songs" / "late", {name: 0 * part for name, part in two.items()})
    done = stembox("quality", tmp_path / "songs", "--model", "starter_fast", "--seconds", "3",
                   "--out", tmp_path / "out", "--data-dir", tmp_path / "data")
    assert done.returncode == 1 and "| vocals" in done.stdout
    assert f"stembox: {tmp_path / 'songs' / 'bad'}: mixture.wav is not the sum" in done.stderr
    assert f"stembox: {tmp_path / 'songs' / 'late'}: nothing is heard" in done.stderr
    (result,) = json.loads((tmp_path / "out" / "quality.json").read_text())["sets"]
    assert result["titles"] == ["good"]


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
