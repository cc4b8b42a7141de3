"""Real bands: guitar and the rest add up, clips keep their balance, most songs are kept."""

import json

import numpy as np
import pytest

from server.starter.recorded import bands, places
from server.starter.recorded.accompaniment import LEVEL
from server.starter.recorded.bands import BAND_SONGS, BandSong, band_songs, open_bands, read_band
from server.starter.synthesis.effects import active_rms
from tests.starter.material import SR, tone, write_sound

LEARNT, KEPT = BandSong("noise", "us/loud", heard=True), BandSong("noise", "us/soft")


@pytest.fixture
def songs(tmp_path, monkeypatch):
    """Two songs, of which one is for training; the guitar of each stops before the rest."""
    for song, hertz in ((LEARNT, 300), (KEPT, 400)):
        folder = tmp_path / song.package / bands.place(song)
        write_sound(folder / "guitar.ogg", tone(2.0, hertz, gain=0.4))
        write_sound(folder / "song.ogg", tone(2.5, 2 * hertz, gain=0.2))
    monkeypatch.setattr(bands, "BAND_SONGS", (LEARNT, KEPT))
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))


def test_two_songs_are_learnt_and_six_are_kept():
    assert sum(song.heard for song in BAND_SONGS) == 2 and len(BAND_SONGS) == 8
    assert not any(song.heard for song in BAND_SONGS if "muldjord" in song.package)


def test_parts_are_equally_long_and_not_changed(songs):
    parts = read_band(KEPT)
    assert list(parts) == ["guitar", "backing"]
    assert {x.shape for x in parts.values()} == {(2, round(2.5 * SR))}
    assert np.abs(parts["guitar"]).max() == pytest.approx(0.4, abs=0.05)
    assert not parts["guitar"][:, round(2.1 * SR) :].any()


def test_clips_are_of_songs_for_training_and_keep_the_balance(songs, tmp_path):
    bank = open_bands(tmp_path / "bands.f16", length=1.0).float().numpy()
    assert bank.shape == (2, 2, 2, SR)
    assert json.loads((tmp_path / "bands.json").read_text()) == ["guitar", "backing"]
    guitar, backing = bank[0]
    assert active_rms(guitar + backing, SR) == pytest.approx(LEVEL, rel=0.1)
    assert np.abs(guitar).max() / np.abs(backing).max() == pytest.approx(2.0, rel=0.1)
    assert np.abs(np.fft.rfft(guitar[0])).argmax() == pytest.approx(300, abs=2)


def test_what_is_missing_is_said(songs, monkeypatch):
    assert band_songs(heard=False) == [KEPT]
    monkeypatch.delenv(places.VARIABLE)
    with pytest.raises(FileNotFoundError, match="apt-get install noise"):
        band_songs(heard=False)
