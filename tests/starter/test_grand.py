"""The recorded grand piano: the nearest string, retuned; keys that are let go are damped."""

import numpy as np
import pytest

from server.starter.played import orchestra
from server.starter.played.grand import GRAND, play_grand, recorded_grand
from server.starter.played.orchestra import Orchestra
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
    return recorded_grand()


def test_files_are_known_by_their_pitch(grand, monkeypatch):
    assert {pitch: file.name for pitch, file in grand.items()} == {
        57: "A3v10.ogg",
        63: "D#4v10.ogg",
    }
    monkeypatch.delenv(places.VARIABLE)
    assert recorded_grand() == {}


@pytest.mark.parametrize("pitch", [55, 57, 59, 61, 65])
def test_a_key_sounds_at_its_pitch_and_time(grand, pitch):
    x = play_grand(grand, [Note(0.5, 1.0, pitch, 0.8)], 2 * SR, SR)
    assert x.shape == (2, 2 * SR) and x.dtype == np.float32
    assert not x[:, : SR // 2].any() and not x[:, int(1.65 * SR) :].any()
    spectrum = np.abs(np.fft.rfft(x[0]))
    expected = 440.0 * 2.0 ** ((pitch - 69) / 12)
    assert spectrum.argmax() / 2 == pytest.approx(expected, rel=0.01)
    assert np.abs(x).max() == pytest.approx(0.8 * 0.3, rel=0.15)


def test_damping_leaves_no_click(grand):
    x = play_grand(grand, [Note(0.0, 0.5, 57, 0.8)], SR, SR)
    end = int(0.62 * SR)
    assert np.abs(np.diff(x[:, end - 50 : end + 50])).max() < 0.002


def test_what_begins_after_the_end_is_not_played(grand):
    assert not play_grand(grand, [Note(3.0, 1.0, 57, 0.8)], SR, SR).any()


def test_an_orchestra_plays_it(grand, monkeypatch):
    monkeypatch.setattr(orchestra, "GRAND_SHARE", 1.0)
    side = Orchestra(1.0, {}, (), (), grand)
    x = side.play("piano", [Note(0.0, 0.5, 57, 0.8)], np.random.default_rng(0), SR, SR)
    assert np.abs(np.fft.rfft(x[0])).argmax() == pytest.approx(220, abs=2)
