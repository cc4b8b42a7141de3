"""Voices of speech synthesisers, wherever these and pyworld are installed."""

import shutil
import subprocess

import numpy as np
import pytest

from server.starter.played import singers, speakers
from server.starter.synthesis.score import Note

SR = 44100
BY_NAME = {x.name: x for x in speakers.VOICES}
PLAIN = singers.Manner(vibrato=0.1, rate=5.0, glide=0.02, scoop=0.0, breath=0.0, air=-1.0,
                      formants=1.0, slur=0.0, spoken=False)  # fmt: skip
MELODY = [Note(0.3 + 0.5 * i, 0.45, p, 0.8) for i, p in enumerate((55, 57, 59, 60, 62, 60, 52, 55))]


def need(name):
    voice = BY_NAME[name]
    if not speakers.available(voice):
        pytest.skip(f"{name} or pyworld is not installed")
    return voice


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(home))
        yield home / "stembox-training"


def sing(voice, manner=PLAIN, notes=MELODY, seconds=5.0, seed=0, sr=SR):
    rng = np.random.default_rng(seed)
    said = speakers.material(voice)
    return singers.perform(voice, said, manner, notes, int(seconds * sr), sr, rng)


def band(sound, low, high):
    """Power between two frequencies against the whole, in dB."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / SR)
    return 10 * np.log10(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


def test_voices_for_training_and_those_kept_from_it():
    unheard = [x.name for x in speakers.VOICES if not x.heard and x.kind != "recorded"]
    heard = [x for x in speakers.VOICES if x.heard]
    assert unheard == ["flite-rms", "flite-slt"]
    assert len(heard) >= 30 and len(BY_NAME) == len(speakers.VOICES)
    assert not any(x.variant in ("rms", "slt") or "slt" in x.variant for x in heard)
    assert all(x.high - x.low >= 12 for x in speakers.VOICES)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_every_variant_is_a_voice_of_its_own():
    def say(variant):  # espeak-ng drops a variant without a word where it knows an alias
        argv = ["espeak-ng", "-v", variant, "--stdout", "bella lamo takina"]
        return subprocess.run(argv, check=True, capture_output=True).stdout

    variants = [x.variant for x in speakers.VOICES if x.kind == "espeak"]
    languages = {x.split("+")[0] for x in variants}
    assert len({say(x) for x in [*variants, *languages]}) == len(variants) + len(languages)


@pytest.mark.parametrize("name", ["espeak-en-us+m1", "flite-slt"])
def test_sings_what_is_written(name):
    voice = need(name)
    sound = sing(voice)
    f0, times = speakers.world().harvest(sound.astype(float), SR, f0_ceil=800.0)
    wanted = np.full(len(times), np.nan)
    for note in singers.playable(voice, MELODY, 5.0, False):
        wanted[(times > note.start + 0.08) & (times < note.start + note.length - 0.05)] = note.pitch
    asked = ~np.isnan(wanted)
    voiced = asked & (f0 > 0)
    off = 12 * np.log2(f0[voiced] / 440) + 69 - wanted[voiced]
    assert voiced.sum() > 0.8 * asked.sum()
    assert np.mean(np.abs(off) < 0.5) > 0.85


def test_the_same_generator_gives_the_same_samples(cache):
    voice = need("espeak-en-us+m1")
    first, again, other = (
        singers.sing_words(voice, MELODY, 5 * SR, SR, np.random.default_rng(x)) for x in (1, 1, 2)
    )
    assert first.shape == (5 * SR,) and first.dtype == np.float32
    assert np.isfinite(first).all() and np.abs(first).max() == pytest.approx(1.0)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    kept = [x.name for x in cache.iterdir() if x.name.startswith(voice.name)]
    assert len(kept) == 1 and not [x for x in cache.iterdir() if x.suffix != ".npz"]


def test_what_is_kept_is_what_was_analysed():
    voice = need("espeak-en-us+m1")
    kept = speakers.material(voice)
    fresh = speakers.analyse(*speakers.record(voice))
    for old, new in zip(kept, fresh, strict=True):
        np.testing.assert_array_equal(old, new)


def test_syllables_are_vowels_between_consonants():
    said = speakers.material(need("espeak-en-us+m1"))
    low, first, last, high = said.cuts.T
    assert len(said.cuts) > 60
    assert (low >= 0).all() and (high < len(said.f0)).all()
    assert (low <= first).all() and (first < last).all() and (last <= high).all()
    assert (low[1:] >= high[:-1]).all()
    assert all((said.f0[a : b + 1] > 0).all() for a, b in zip(first, last, strict=True))


def test_rests_are_silent_and_long_notes_last():
    voice = need("espeak-en-us+m1")
    sound = sing(voice, notes=[Note(0.5, 2.0, 52, 0.8), Note(4.0, 0.5, 55, 0.8)])
    level = [20 * np.log10(np.sqrt(np.mean(np.square(x))) + 1e-9) for x in np.split(sound, 50)]
    assert min(level[6:24]) > -30.0  # held
    assert max(level[27:35]) < -60.0  # before any breath


def test_a_narrow_voice_goes_on_as_air():
    sound = sing(need("flite-slt"))  # which ends at 8 kHz
    assert band(sound, 4000, 7000) > -45.0
    assert -70.0 < band(sound, 9000, 16000) < -10.0


def test_a_spoken_vowel_is_not_held():
    voice = need("espeak-en-us+m1")
    sound = sing(voice, PLAIN._replace(spoken=True), [Note(0.5, 3.0, 50, 0.8)])
    assert np.abs(sound[int(1.2 * SR) :]).max() < 1e-3 < np.abs(sound[: int(1.2 * SR)]).max()


def test_a_melody_is_moved_as_a_whole():
    voice = BY_NAME["flite-slt"]
    moved = singers.playable(voice, [x._replace(pitch=x.pitch - 24) for x in MELODY], 5.0, False)
    steps = [x.pitch - y.pitch for x, y in zip(moved, MELODY, strict=True)]
    assert len(set(steps)) == 1 and steps[0] % 12 == 0
    assert all(voice.low <= x.pitch <= voice.high for x in moved)


@pytest.mark.parametrize("pitch", [0.0, 20.5, 54.9, 60.0, 76.1, 127.0])
def test_far_notes_are_folded_by_octaves(pitch):
    folded = singers.fold(pitch, 55, 76)
    assert 55 <= folded <= 76
    assert (folded - pitch) % 12 == pytest.approx(0.0, abs=1e-9)


def test_awkward_notes():
    voice = need("espeak-en-us+m1")
    assert not sing(voice, notes=[]).any()
    assert not sing(voice, notes=[Note(9.0, 1.0, 50, 0.8)], seconds=2.0).any()
    crowd = [Note(0.0, 9.0, 50, 0.8), Note(0.0, 1.0, 54, 0.8), Note(0.06, 0.03, 57, 0.0),
             Note(0.12, 0.5, 50, 1.0), Note(1.9, 5.0, 50, 1.0)]  # fmt: skip
    for sr in (16000, 48000):
        sound = sing(voice, notes=crowd, seconds=2.0, sr=sr)
        assert sound.shape == (2 * sr,) and np.isfinite(sound).all() and sound.any()


def test_missing_commands_are_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    assert not any(speakers.available(x) for x in speakers.VOICES)
    with pytest.raises(FileNotFoundError, match="flite"):
        speakers.material(BY_NAME["flite-rms"])
