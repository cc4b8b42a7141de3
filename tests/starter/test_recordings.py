"""The set of recordings: sung over music at equal level, bands between, and all of it kept."""

import numpy as np
import pytest

from server.starter.played.orchestra import Orchestra
from server.starter.played.speakers import Voice
from server.starter.recorded import bands, places, recordings
from server.starter.recorded.recordings import PEAK, Recordings
from server.starter.recorded.sound import Recording
from server.starter.synthesis.effects import active_rms
from tests.starter.material import SR, tone, write_sound

SINGER = Voice("ann", "recorded", "ann", 55, 75, heard=False)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A singer who hums, a tune, a band; and what was asked for, heard or kept."""
    asked = []

    def kept(found):
        return lambda heard: asked.append(heard) or found

    song = bands.BandSong("noise", "us/soft")
    folder = tmp_path / song.package / bands.place(song)
    write_sound(folder / "guitar.ogg", tone(3.0, 300))
    write_sound(folder / "song.ogg", tone(3.0, 900, gain=0.9))
    music = [Recording(write_sound(tmp_path / "music/long.flac", tone(9.0, 200, gain=0.8))),
             Recording(write_sound(tmp_path / "music/short.flac", tone(1.0, 50)))]  # fmt: skip
    monkeypatch.setattr(recordings, "VOICES", (SINGER, SINGER._replace(heard=True)))
    monkeypatch.setattr(recordings, "available", lambda voice: True)
    monkeypatch.setattr(recordings, "tracks", kept(music))
    monkeypatch.setattr(recordings, "band_songs", kept([song]))
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))

    def hum(self, role, notes, rng, n, sr):
        assert role == "vocals"
        x = np.zeros((2, n), np.float32)
        for note in notes:
            a, b = int(note.start * sr), int((note.start + note.length) * sr)
            x[:, a:b] = 1e-3 * tone(n / sr, 3000, sr).T[:, a:b]
        return x

    monkeypatch.setattr(Orchestra, "play", hum)
    return asked


def test_nothing_of_it_is_for_training(asked):
    assert Recordings().singers.voices == (SINGER,)
    assert asked == [False, False]


def test_two_of_three_are_sung_and_the_third_is_a_band(asked):
    songs = [Recordings().play(number, 2.0) for number in range(6)]
    sung, band = ["vocals", "instrumental"], ["guitar", "backing"]
    assert [list(song) for song in songs] == [sung, sung, band, sung, sung, band]
    for song in songs:
        assert {(x.shape, x.dtype.name) for x in song.values()} == {((2, 2 * SR), "float32")}
        assert np.abs(sum(song.values())).max() == pytest.approx(PEAK, rel=1e-3)


def test_voice_and_music_are_equally_loud(asked):
    song = Recordings().play(0, 4.0)
    levels = [active_rms(x, SR) for x in song.values()]
    assert levels[0] == pytest.approx(levels[1], rel=1e-3)
    assert np.abs(np.fft.rfft(song["instrumental"][0])).argmax() == 4 * 200


def test_one_number_is_one_song(asked):
    one, again, other = (Recordings().play(number, 2.0) for number in (3, 3, 4))
    assert all(np.array_equal(one[part], again[part]) for part in one)
    assert not np.array_equal(one["vocals"], other["vocals"])


def test_a_bands_balance_is_kept(asked):
    song = Recordings().play(2, 2.0)
    peaks = {part: np.abs(x).max() for part, x in song.items()}
    assert peaks["backing"] / peaks["guitar"] == pytest.approx(3.0, rel=0.1)


def test_all_that_is_missing_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "SYSTEM", tmp_path)
    monkeypatch.delenv(places.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError) as missing:
        Recordings()
    for package in ("klettres-data", "flite", "pyworld", "hedgewars-data", "singularity-music",
                    "fretsonfire-songs-muldjord"):  # fmt: skip
        assert package in str(missing.value)


def test_where_nobody_sings_it_is_said(asked, monkeypatch):
    monkeypatch.setattr(Orchestra, "play", lambda self, role, notes, rng, n, sr: np.zeros((2, n)))
    with pytest.raises(ValueError, match="nobody sings"):
        Recordings().play(0, 1.0)
