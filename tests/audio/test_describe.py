"""Tempo and key of songs whose tempo and key are known, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest

from server.audio import describe as describing
from server.audio.describe import TONICS, describe
from server.errors import Cancelled
from server.work.steps import finish

from .making import RATE, write_mix

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
CHORDS = (0, 3, 4, 0, 5, 3, 4, 0)  # degrees, a bar each


def tone(pitch: float, seconds: float) -> np.ndarray:
    """A plucked note of eight partials."""
    t = np.arange(int(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    partials = (np.sin(2 * np.pi * k * frequency * t) / k**1.5 for k in range(1, 9))
    return sum(partials) * np.exp(-1.5 * t)


def known_song(bpm: float, tonic: int, scale: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """30 s of drums, a bass, chords and a tune: (samples, 2)."""
    rng, beat = np.random.default_rng(seed), 60 / bpm
    out: np.ndarray = np.zeros(30 * RATE)

    def put(start: float, sound: np.ndarray) -> None:
        at = int(start * RATE)
        sound = sound[: max(0, len(out) - at)]
        out[at : at + len(sound)] += sound

    def pitch(degree: int, octave: int) -> int:
        return 12 * octave + tonic + scale[degree % 7] + 12 * (degree // 7)

    for index in range(int(30 / beat)):
        start, chord = index * beat, CHORDS[index // 4 % len(CHORDS)]
        t = np.arange(int(0.15 * RATE)) / RATE
        put(start, 0.8 * np.sin(2 * np.pi * 60 * t) * np.exp(-25 * t) if index % 2 == 0
            else 0.3 * rng.standard_normal(len(t)) * np.exp(-30 * t))
        put(start + beat / 2, 0.06 * rng.standard_normal(len(t)) * np.exp(-90 * t))
        put(start, 0.4 * tone(pitch(chord, 3), beat))
        if index % 4 == 0:
            for third in (0, 2, 4):
                put(start, 0.2 * tone(pitch(chord + third, 5), 4 * beat))
        put(start + beat * rng.choice((0, 0.5)),
            0.2 * tone(pitch(chord + int(rng.choice((0, 2, 4, 7))), 6), beat))
    return np.stack([out, out], 1).astype(np.float32) / 4


def described(folder: Path, samples: np.ndarray) -> tuple[float | None, str | None]:
    return finish(describe(write_mix(folder / "mix.f32", samples)))


@pytest.mark.parametrize(("bpm", "tonic", "minor"), [
    (72, 0, False), (90, 9, True), (104, 5, False), (120, 2, True), (128, 7, False), (140, 4, True),
])
def test_songs_of_known_tempo_and_key(tmp_path: Path, bpm: int, tonic: int, minor: bool) -> None:
    song = known_song(bpm, tonic, MINOR if minor else MAJOR, seed=bpm)
    found, key = described(tmp_path, song)
    assert found is not None
    assert min(abs(found * fold / bpm - 1) for fold in (0.5, 1, 2)) < 0.01, "but for octaves"
    assert key == f"{TONICS[tonic]}{'m' if minor else ''}"


@pytest.mark.filterwarnings("ignore:Trying to estimate tuning from empty:UserWarning")
@pytest.mark.parametrize("samples", [
    np.zeros((30 * RATE, 2)), np.zeros((1, 2)), np.full((30 * RATE, 2), 0.5),
    np.random.default_rng(0).standard_normal((20 * RATE, 2)) * 0.1,
], ids=["silence", "one sample", "a constant", "noise"])
def test_nothing_is_said_of_what_has_none(tmp_path: Path, samples: np.ndarray) -> None:
    assert described(tmp_path, samples.astype(np.float32)) == (None, None)


def test_a_tone_has_no_tempo(tmp_path: Path) -> None:
    t = np.arange(20 * RATE) / RATE
    wave = np.sin(2 * np.pi * 440 * t).astype(np.float32) * 0.3
    assert described(tmp_path, np.stack([wave, wave], 1))[0] is None


def test_the_middle_of_a_long_song_is_what_counts(tmp_path: Path) -> None:
    song = np.zeros((200 * RATE, 2), np.float32)
    song[40 * RATE : 160 * RATE] = 0.5
    samples = describing.middle(write_mix(tmp_path / "mix.f32", song))
    assert len(samples) == describing.SECONDS * describing.RATE
    np.testing.assert_allclose(samples[100:-100], 0.5, atol=1e-3)


def test_what_is_too_high_does_not_fold_back(tmp_path: Path) -> None:
    t = np.arange(5 * RATE) / RATE
    wave = np.sin(2 * np.pi * 20_000 * t).astype(np.float32)
    samples = describing.middle(write_mix(tmp_path / "mix.f32", np.stack([wave, wave], 1)))
    assert np.abs(samples[RATE // 2 : -RATE // 2]).max() < 0.01


def test_it_can_be_cancelled_while_it_loads(tmp_path: Path) -> None:
    def cancel(done: float) -> None:
        raise Cancelled("The job was cancelled")

    song = write_mix(tmp_path / "mix.f32", known_song(120, 0, MAJOR)[: 5 * RATE])
    with pytest.raises(Cancelled):
        finish(describe(song), cancel)
