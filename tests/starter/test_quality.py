"""The measurement itself, and the model that ships held to what its card says."""

import json
import sys

import msgspec
import numpy as np
import pytest

from server.engine.library.catalog import whole
from server.engine.loading import load_bag, load_members
from server.starter import quality
from server.starter.measuring.report import Leak, Report, Score, SetResult
from server.starter.quality import (
    ONLY_RECORDED,
    SETS,
    TARGETS,
    WEIGHTS,
    SongSet,
    digest,
    formed,
    measure_set,
    score_song,
    silence_peak,
)
from server.starter.songs import STEMS, synthesise
from server.starter.training.train import VALIDATION_SEED

STARTER = whole("starter", WEIGHTS)
FLOOR_DB = 3.0  # mean SDR of four stems over two songs of 12 s


@pytest.fixture(scope="module")
def starter():
    return load_bag(STARTER)


@pytest.fixture
def song() -> dict[str, np.ndarray]:
    """Six stems of noise, a second each."""
    rng = np.random.default_rng(0)
    return {stem: rng.normal(0, 0.1, (2, 44100)).astype(np.float32) for stem in STEMS}


def four_of(song: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a perfect model of four sources makes of a song."""
    rest = song["other"] + song["guitar"] + song["piano"]
    return {"drums": song["drums"], "bass": song["bass"], "other": rest, "vocals": song["vocals"]}


def test_a_four_source_model_forms_the_sums_that_it_can(song):
    made = four_of(song)
    possible = {name for name, parts in TARGETS.items() if formed(made, parts) is not None}
    assert possible == {"drums", "bass", "vocals", "other4", "instrumental"}
    np.testing.assert_array_equal(formed(made, TARGETS["other4"]), made["other"])
    expected = made["drums"] + made["bass"] + made["other"]
    np.testing.assert_allclose(formed(made, TARGETS["instrumental"]), expected, atol=1e-6)


def test_a_six_source_model_forms_every_target(song):
    assert all(formed(song, parts) is not None for parts in TARGETS.values())
    np.testing.assert_array_equal(formed(song, TARGETS["piano"]), song["piano"])


def test_a_perfect_model_is_far_above_the_mix(song):
    rows = list(score_song(5, song, {"model": lambda mix: four_of(song)}))
    assert {type(row) for row in rows} == {Score} and {row.song for row in rows} == {5}
    assert min(row.sdr for row in rows if row.method == "model") > 100
    mixes = {row.target: row.sdr for row in rows if row.method == "mix"}
    assert set(mixes) == set(TARGETS) - ONLY_RECORDED
    assert mixes["drums"] == pytest.approx(-10 * np.log10(5), abs=0.1)
    assert mixes["instrumental"] == pytest.approx(10 * np.log10(5), abs=0.1)


@pytest.mark.parametrize(("stem", "rest"), [("vocals", "instrumental"), ("guitar", "backing")])
def test_of_a_recording_only_what_is_known_is_scored(song, stem, rest):
    known = {stem: song[stem], rest: np.sum([song[s] for s in STEMS if s != stem], axis=0)}
    rows = list(score_song(0, known, {"model": lambda mix: song, "none": lambda mix: {}}))
    assert {(row.target, row.method) for row in rows} == {
        (target, method) for target in (stem, rest) for method in ("model", "mix", "oracle")
    }
    assert min(row.sdr for row in rows if row.method == "model") > 100
    oracle = {row.target: row.sdr for row in rows if row.method == "oracle"}
    mixes = {row.target: row.sdr for row in rows if row.method == "mix"}
    assert all(oracle[target] > mixes[target] + 1.0 for target in oracle)


def test_a_stem_that_is_silent_leaks_instead(song):
    song["piano"] = np.zeros_like(song["piano"])
    made = {**song, "piano": 0.1 * np.sum(list(song.values()), axis=0)}
    rows = score_song(5, song, {"model": lambda mix: made})
    leaks = {row.method: row.level_db for row in rows if isinstance(row, Leak)}
    assert leaks.pop("oracle") < -100
    assert leaks == {"model": pytest.approx(-20.0, abs=1e-3), "mix": pytest.approx(0.0)}


def test_no_song_here_is_known_to_training():
    assert all(songs.first_seed >= 2 * VALIDATION_SEED for songs in SETS)
    assert len({songs.first_seed for songs in SETS}) == len(SETS)


def nothing_here():
    raise FileNotFoundError("apt-get install an-orchestra")


def test_a_set_whose_instruments_are_missing_is_reported(starter):
    found = measure_set(SongSet("x", "y", 1, nothing_here), starter, 2, 3.0)
    assert found.missing == "apt-get install an-orchestra" and not found.scores


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    sets = (SETS[0], SongSet("bells", "rung by hand", 3_000_000, nothing_here))
    monkeypatch.setattr(quality, "SETS", sets)
    monkeypatch.setattr(quality, "prepare_cpu", lambda threads: None)  # it lasts
    monkeypatch.setattr("sys.argv", ["q", "--songs", "1", "--seconds", "3", "--out", str(tmp_path)])
    quality.main()
    text = (tmp_path / "quality.md").read_text()
    assert text in capsys.readouterr().out and "an-orchestra" in text
    report = msgspec.json.decode((tmp_path / "quality.json").read_bytes(), type=Report)
    measured, missing = report.sets
    assert {row.method for row in measured.scores} == {"model", "hpss", "mix/6", "mix", "oracle"}
    assert measured.songs == [SETS[0].first_seed] and missing.scores == []
    assert (tmp_path / "quality.png").stat().st_size > 5000


def test_without_matplotlib_only_the_picture_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    scores = [Score(0, "vocals", "model", 1.0, 1.0, 1.0)]
    songs = SetResult("own", "one", 1.0, [0], ["vocals"], scores, [])
    quality.write(Report("m", "00", ["vocals"], 0.0, [songs]), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"quality.json", "quality.md"}
    assert "matplotlib is missing" in capsys.readouterr().err


def test_shipped_weights_load_and_are_small(starter):
    assert tuple(starter.sources) == STEMS
    assert starter.samplerate == 44100
    assert sum(path.stat().st_size for path in STARTER.files) < 24_000_000


def test_shipped_stems_add_up_to_the_mix():
    (bag,) = load_members(STARTER).networks
    recipe = bag.recipe
    assert tuple(recipe) == STEMS
    total = np.sum(list(recipe.values()), axis=0)
    np.testing.assert_allclose(total, np.eye(len(total))[-1], atol=1e-9)
    assert not any(recipe["vocals"][6:-1]), "vocals and instrumental need the first network alone"


def test_another_listing_or_other_weights_have_another_digest(tmp_path):
    for name in ("m.yaml", "a.safetensors"):
        (tmp_path / name).write_text("models: [a]")
    files, seen = whole("m", tmp_path), set()
    seen.add(digest(files))
    (tmp_path / "m.yaml").write_text("models: [a]\n")
    seen.add(digest(files))
    (tmp_path / "a.safetensors").write_text("")
    assert len(seen | {digest(files)}) == 3


def test_shipped_weights_make_silence_of_silence(starter):
    assert silence_peak(starter, 3.0) < 1e-4


def test_shipped_weights_separate_songs_they_never_heard(starter):
    songs = SongSet("synthetic", "", SETS[0].first_seed, lambda: synthesise)
    found = measure_set(songs, starter, 2, 12.0)
    assert found.mean("mean of 4", "model", "sdr") > FLOOR_DB
    for target in found.targets:
        assert found.mean(target, "model", "sdr") > found.mean(target, "mix", "sdr")


def test_the_figures_are_those_of_the_shipped_weights():
    told = json.loads((WEIGHTS / "quality.json").read_text())
    assert told["sha256"] == digest(STARTER)


def test_what_is_no_model_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["q", "--model", str(tmp_path / "none.yaml")])
    with pytest.raises(SystemExit):
        quality.main()
    assert "not a model's listing" in capsys.readouterr().err
