"""Tempo and key of a mix, by librosa: what a player shows beside a song. None where unsure.

librosa is imported when it is needed: workers that never describe do not pay for it.
"""

from pathlib import Path

import numpy as np

from server.audio import Report
from server.scratch import SAMPLE_RATE, FrameReader

SECONDS = 120  # from the middle of the mix, whatever its length
RATE = SAMPLE_RATE // 2  # Hz: nothing above 11 kHz tells of tempo or key
HOP = 512  # samples at RATE
LEAST_SECONDS = 4.0
SILENCE = 1e-4  # of full scale (rms)
# Below these it cannot be told: how alike the onsets are a beat apart (songs 0.24 and more, noise
# up to 0.09), how uneven the chroma is (songs 0.28, noise 0.014), how much the best key beats the
# second. All were set on songs that the project makes, and on noise.
CLEAR_BEAT = 0.135
CLEAR_CHROMA = 0.08
CLEAR_KEY = 0.02
TEMPI = (40.0, 220.0)  # bpm
TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# How well each degree fits a key, from C: Temperley, "What's Key for Key?" (1999).
MAJOR = (5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0)
MINOR = (5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0)


def describe(mix: Path, report: Report) -> tuple[float | None, str | None]:
    """(beats a minute, key as "C", "F#", "Gm"), each None where it cannot be told.

    mix: a scratch file. The memory is that of SECONDS, whatever its length.
    report: as every stage's; it may raise Cancelled.
    """
    samples = middle(mix)
    if len(samples) < LEAST_SECONDS * RATE or np.sqrt(np.mean(samples**2)) < SILENCE:
        return None, None
    report(0.1)
    bpm = tempo_of(samples)
    report(0.5)
    return bpm, key_of(samples)


def middle(mix: Path) -> np.ndarray:
    """The middle of the mix in mono at RATE: float32 (samples,)."""
    with FrameReader(mix) as reader:
        count = min(reader.frames, SECONDS * SAMPLE_RATE)
        frames = reader.read((reader.frames - count) // 2, count)
    mono = frames.mean(axis=1)
    mono = mono[: len(mono) // 2 * 2]
    return (mono[::2] + mono[1::2]) / 2  # aliases are far below what either measure looks at


def tempo_of(samples: np.ndarray) -> float | None:
    """Beats a minute, to 0.1: librosa's tempogram at its clearest lag, refined between lags."""
    import librosa

    onsets = librosa.onset.onset_strength(y=samples, sr=RATE, hop_length=HOP)
    if onsets.max() <= 0:
        return None
    strength = librosa.autocorrelate(onsets - onsets.mean())
    lags = np.arange(1, len(strength))
    tempi = 60 * RATE / (HOP * lags)
    inside = (tempi >= TEMPI[0]) & (tempi <= TEMPI[1])
    if not inside.any():
        return None
    estimate = float(librosa.feature.tempo(onset_envelope=onsets, sr=RATE, hop_length=HOP)[0])
    lag = 60 * RATE / (HOP * estimate)
    return _refined(strength, lag)


def _refined(strength: np.ndarray, lag: float) -> float | None:
    """The tempo of the lag nearest to `lag`, measured over several beats; None if unclear."""
    beats = max(1, min(8, int((len(strength) - 2) / lag / 2)))
    low, high = int(beats * lag * 0.97), int(np.ceil(beats * lag * 1.03)) + 1
    window = strength[low : high + 1]
    if len(window) < 3:
        return None
    peak = low + int(np.argmax(window))
    if strength[peak] < CLEAR_BEAT * strength[0]:
        return None
    left, top, right = strength[peak - 1 : peak + 2]
    bend = left - 2 * top + right
    offset = 0.0 if bend >= 0 else 0.5 * (left - right) / bend
    return round(float(60 * RATE * beats / (HOP * (peak + offset))), 1)


def key_of(samples: np.ndarray) -> str | None:
    """The key whose profile fits the mean chroma best: Krumhansl's method."""
    import librosa

    chroma = librosa.feature.chroma_cqt(y=samples, sr=RATE, hop_length=4 * HOP).mean(axis=1)
    if not chroma.std() >= CLEAR_CHROMA * chroma.mean():  # of a constant, neither is a number
        return None
    fits = {
        f"{tonic}{mode}": float(np.corrcoef(chroma, np.roll(profile, shift))[0, 1])
        for mode, profile in (("", MAJOR), ("m", MINOR))
        for shift, tonic in enumerate(TONICS)
    }
    best, second = sorted(fits, key=fits.__getitem__, reverse=True)[:2]
    return best if fits[best] - fits[second] >= CLEAR_KEY else None
