"""Recorded speakers: who is kept from training, what is taken of the files, and that they sing."""

import importlib.util

import numpy as np
import pytest
from scipy.signal import resample

from server.starter.played import singers, speakers
from server.starter.recorded import people, places
from server.starter.recorded.people import PEOPLE, Person, files, speech
from server.starter.synthesis.score import Note
from tests.starter.material import SR, babble, tone, write_sound

ANN = Person("tales-ann", "tales", "usr/share/tales/ann/**/*.*", 220)


@pytest.fixture
def tales(tmp_path, monkeypatch):
    """Ann's recordings: words up to 11 kHz at 44.1 kHz, and files that are no speech."""
    root = tmp_path / "material/tales/usr/share/tales/ann"
    for number in range(4):
        words = babble(6, 215.0, 22050)
        words = resample(words, 2 * len(words))  # of no frequency above 11 kHz
        sound = np.concatenate([np.zeros(SR), words, np.zeros(SR)])
        write_sound(root / f"part{number}/words.flac", 10.0 ** (-number / 3) * sound)
    write_sound(root / "silence.wav", np.zeros(SR))
    write_sound(root / "blip.wav", tone(0.1))
    (root / "readme.txt").write_text("words by Ann")
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "nowhere")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "material"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_speakers_for_training_and_those_kept_from_it():
    names = [person.name for person in PEOPLE]
    assert len(set(names)) == len(names) >= 50
    assert {person.name for person in PEOPLE if not person.heard} == people.UNHEARD
    russians = [person for person in PEOPLE if person.name in ("ktuberling-ru", "tuxpaint-ru")]
    assert not any(person.heard for person in russians)  # maybe one man
    assert all(person.hertz in range(80, 420) for person in PEOPLE)


def test_a_speaker_sings_around_the_pitch_of_speech():
    voice = speakers.recorded(ANN)
    assert (voice.low, voice.high) == (55, 75) and voice.kind == "recorded" and voice.heard


def test_silence_around_words_is_cut_and_files_are_equally_loud(tales):
    sound, rate = speech(ANN)
    assert len(sound) / rate == pytest.approx(4 * 2.8, abs=1.0)
    quarters = [np.sqrt(np.mean(np.square(x))) for x in np.array_split(sound, 4)]
    assert max(quarters) / min(quarters) < 1.3  # 20 dB apart in the files


def test_the_rate_is_that_of_the_band(tales):
    _, rate = speech(ANN)
    assert 21000 <= rate <= 26000
    low = tone(1.0, 400.0)[:, 0]
    assert people.banded(low)[1] == people.LOWEST
    noise = np.random.default_rng(0).standard_normal(SR)
    assert people.banded(noise, 22050)[1] == 22000
    assert people.banded(noise, 8000)[1] == people.LOWEST


def test_a_band_that_is_full_stays_whole():
    noise = np.random.default_rng(0).standard_normal(SR)
    sound, rate = people.banded(noise)
    assert rate == SR
    np.testing.assert_allclose(sound, noise)


def test_missing_recordings_are_told(tales, monkeypatch):
    monkeypatch.delenv(places.VARIABLE)
    assert files(ANN) == []
    with pytest.raises(FileNotFoundError, match="apt-get install tales"):
        speech(ANN)
    assert not any(speakers.available(v) for v in speakers.VOICES if v.kind == "recorded")


def test_recordings_without_speech_are_told(tales, monkeypatch):
    monkeypatch.setattr(people, "LEAST", 60.0)
    with pytest.raises(ValueError, match="tales-ann says nothing"):
        speech(ANN)


def test_a_recorded_speaker_sings(tales, monkeypatch):
    if importlib.util.find_spec("pyworld") is None:
        pytest.skip("pyworld is not installed")
    voice = speakers.recorded(ANN)
    monkeypatch.setattr(speakers, "PERSONS", {ANN.name: ANN})
    assert speakers.available(voice)
    said = speakers.material(voice)
    assert len(said.cuts) >= 8 and said.edge < 13000
    held = Note(0.3, 1.0, 64.0, 0.8)  # 330 Hz
    manner = singers.Manner(vibrato=0.0, rate=5.0, glide=0.02, scoop=0.0, breath=0.0, air=-1.0,
                            formants=1.0, slur=0.0, spoken=False)  # fmt: skip
    rng = np.random.default_rng(1)
    sound = singers.perform(voice, said, manner, [held], 2 * SR, SR, rng)
    power = np.abs(np.fft.rfft(sound[SR // 2 : SR])) ** 2
    hertz = np.fft.rfftfreq(SR // 2, 1 / SR)
    near = [power[np.abs(hertz - k * 329.6) < 25.0].sum() for k in (1, 2, 3, 4)]
    assert sum(near) > 0.5 * power[hertz < 1500].sum()
