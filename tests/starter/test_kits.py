"""Recorded kits: what drums are called, layers by velocity, what replaces what is missing."""

import numpy as np
import pytest

from server.starter.played import kits
from server.starter.played.kits import hydrogen_kit, key_of, recorded_kits, sonic_pi_kit, strike
from server.starter.played.orchestra import Orchestra
from server.starter.recorded import places
from server.starter.synthesis.score import Note
from tests.starter.material import SR, drumkit, tone, write_sound


@pytest.mark.parametrize(("name", "key"), [
    ("Kick Long", 36), ("BassDrum", 36), ("c3 - bass drum 1", 36), ("Pearl Side Stick", 37),
    ("Rim Click (Pearl)", 37), ("Snare Rimshot", 38), ("Hand Clap", 39), ("Tom Low", 41),
    ("Floor Tom", 41), ("Tom Mid", 45), ("Tom", 45), ("Tom High (Tama 12)", 48), ("Closed HH", 42),
    ("Hi Hat Opened", 46), ("VariBreaks Hat 1 Op", 46), ("Pedal HH", 44),
    ("VariBreaks Hat 1 Pd", 44), ("drum_cymbal_closed", 42), ("Crash Left", 49),
    ("Ride Jazz", 51), ("Zildjian Splash", 55),
    ("Ride Bell", None), ("Snare Roll", None), ("Cowbell", None), ("Hat Semi-Open", None),
    ("Djembe1 Slap", None), ("17", None),
])  # fmt: skip
def test_drums_are_known_by_name(name, key):
    assert key_of(name) == key


@pytest.fixture
def kit(tmp_path):
    drums = {"Kick": [(0.5, 100), (1.0, 200)], "Snare": [(1.0, 500)], "Closed HH": [(1.0, 5000)],
             "17": [(1.0, 50)]}  # fmt: skip
    return hydrogen_kit(drumkit(tmp_path / "Kit", drums) / "drumkit.xml")


def struck(kit, key: int, velocity: float, cents: float = 0.0) -> np.ndarray:
    notes = [Note(0.25, 0.1, key, velocity)]
    return strike(kit, notes, cents, np.random.default_rng(0), SR // 2, SR)


def pitch(x: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(x[0])).argmax() * SR / x.shape[1])


def test_a_stroke_sounds_at_its_time_by_its_velocity(kit):
    soft, hard = struck(kit, 36, 0.4), struck(kit, 36, 0.9)
    assert soft.shape == (2, SR // 2) and soft.dtype == np.float32
    assert not soft[:, : SR // 4].any() and soft[:, SR // 4 :].any()
    assert pitch(soft) == pytest.approx(100, abs=6) and pitch(hard) == pytest.approx(200, abs=6)
    assert np.abs(hard).max() / np.abs(soft).max() == pytest.approx(0.9 / 0.4, rel=0.05)


def test_a_stroke_can_be_tuned(kit):
    assert pitch(struck(kit, 38, 1.0, 1200.0)) == pytest.approx(1000, abs=8)


@pytest.mark.parametrize(
    ("key", "hertz"), [(35, 100), (40, 500), (39, 500), (51, 5000), (49, 5000)]
)
def test_a_drum_that_is_missing_is_replaced_by_its_kin(kit, key, hertz):
    assert pitch(struck(kit, key, 0.3)) == pytest.approx(hertz, abs=8)


def test_toms_that_no_kin_replaces_are_not_played(kit):
    assert not struck(kit, 45, 1.0).any()


def test_old_and_new_listings_are_read(tmp_path):
    drums = {"Kick": [(1.0, 100)], "Snare": [(1.0, 500)], "HH": [(1.0, 5000)]}
    old = hydrogen_kit(drumkit(tmp_path / "Old", drums, layered=False) / "drumkit.xml")
    assert set(old.drums) == {36, 38, 42}
    (tmp_path / "Old" / "Snare-500.wav").unlink()
    assert set(hydrogen_kit(tmp_path / "Old/drumkit.xml").drums) == {36, 42}


def test_samples_of_sonic_pi_are_one_kit_of_many_drums(tmp_path):
    names = "bd_haus bd_klub sn_dub elec_snare drum_cymbal_closed drum_heavy_kick"
    for name in f"{names} loop_amen_snare ambi_choir perc_bell".split():
        write_sound(tmp_path / f"{name}.flac", tone(0.1))
    kit = sonic_pi_kit(tmp_path)
    assert {key: len(choices) for key, choices in kit.drums.items()} == {36: 3, 38: 2, 42: 1}


def test_kits_with_the_main_drums_are_found_and_two_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    assert recorded_kits(heard=True) == ()
    drums = {"Kick": [(1.0, 100)], "Snare": [(1.0, 500)], "HH": [(1.0, 5000)]}
    for name in ("Mine", "BJA_Pacific"):
        drumkit(tmp_path / "hydrogen-drumkits" / kits.KITS / name, drums)
    drumkit(tmp_path / "hydrogen-data" / kits.KITS / "NoSnare", {"Kick": [(1.0, 100)]})
    assert [kit.name for kit in recorded_kits(heard=True)] == ["Mine"]
    assert [kit.name for kit in recorded_kits(heard=False)] == ["BJA_Pacific"]


def test_an_orchestra_drums_on_recorded_kits(kit):
    side = Orchestra(1.0, {"drums": (kit,)}, (), (kit,))  # whichever is drawn
    notes = [Note(0.1 * k, 0.1, key, 0.8) for k, key in enumerate((36, 42, 38, 42))]
    x = side.play("drums", notes, np.random.default_rng(0), SR, SR)
    assert x.shape == (2, SR) and np.abs(x).max() == pytest.approx(1.0)
