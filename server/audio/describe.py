"""Tempo and key of a mix, by librosa: what a player shows beside a song. None where unsure.

librosa is imported when it is needed: workers that never describe do not pay for it.
"""

import importlib
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import soxr

from server.audio.compiling import in_turn
from server.sound import SAMPLE_RATE
from server.work.scratch import FrameReader
from server.work.steps import Steps

SECONDS = 120  # from the middle of the mix, whatever its length
RATE = SAMPLE_RATE // 2  # Hz: nothing above 11 kHz tells of tempo or key
HOP = 512  # samples at RATE
LEAST_SECONDS = 4.0
SILENCE = 1e-4  # of full scale (rms)
# Below these it cannot be told. Set on 110 songs that the project composes and on white noise.
CLEAR_BEAT = 0.135  # how alike the onsets are some beats apart: 98 songs of 100; noise 0.12 at most
CLEAR_FIT = 0.45  # correlation with the best key: songs 0.55 and more, noise 0.31 at most
CLEAR_KEY = 0.03  # by how much the best key beats the second: nine songs of ten
CHROMA_WINDOW = 8192  # samples at RATE: tells semitones apart from 80 Hz up
_compiled = False  # all that is needed here, by this process
TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# How often each degree sounds in a key, from C: Albrecht & Shanahan, "The Use of Large Corpora to
# Train a New Type of Key-Finding Algorithm", Music Perception 31 (2013). Of five published pairs
# (Krumhansl-Kessler, two by Temperley, Aarden, and these) it finds the most keys.
MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)


def describe(mix: Path) -> Steps[tuple[float | None, str | None]]:
    """(beats a minute, key as "C", "F#", "Gm"), each None where it cannot be told.

    mix: a scratch file. The memory is that of SECONDS, whatever its length.
    """
    samples = middle(mix)
    if len(samples) < LEAST_SECONDS * RATE or np.std(samples) < SILENCE:
        return None, None
    steps = _tempo_and_key(samples)
    return (yield from steps if _compiled else in_turn(steps))


def _tempo_and_key(samples: np.ndarray) -> Steps[tuple[float | None, str | None]]:
    global _compiled
    yield from load_librosa()
    bpm = tempo_of(samples)
    yield 0.7
    key = key_of(samples)
    _compiled = True
    return bpm, key


def load_librosa() -> Steps[None]:
    """Imports what is used of librosa beside this thread, with a sign of life every second.

    The first time on a machine that compiles for half a minute; later it takes a second.
    """
    side = ThreadPoolExecutor(1)
    try:
        loading = side.submit(importlib.import_module, "librosa.onset")
        while wait([loading], timeout=1.0).not_done:
            yield 0.1
        loading.result()
    finally:
        side.shutdown(wait=False)  # who gives up waits for nothing
    yield 0.2


def middle(mix: Path) -> np.ndarray:
    """The middle of the mix in mono at RATE: float32 (samples,)."""
    with FrameReader(mix) as reader:
        count = min(reader.frames, SECONDS * SAMPLE_RATE)
        mono = reader.read((reader.frames - count) // 2, count).mean(axis=1)
    return np.asarray(soxr.resample(mono, SAMPLE_RATE, RATE, quality="LQ"))


def tempo_of(samples: np.ndarray) -> float | None:
    """Beats a minute, to 0.1: librosa's tempogram says about where, the onsets say exactly."""
    import librosa

    onsets = librosa.onset.onset_strength(y=samples, sr=RATE, hop_length=HOP)
    if not onsets.any():
        return None
    about = float(librosa.feature.tempo(onset_envelope=onsets, sr=RATE, hop_length=HOP)[0])
    likeness = librosa.autocorrelate(onsets - onsets.mean())
    lag = _refined(likeness / likeness[0], 60 * RATE / (HOP * about))
    return None if lag is None else round(60 * RATE / (HOP * lag), 1)


def _refined(likeness: np.ndarray, lag: float) -> float | None:
    """The lag near `lag` at which onsets repeat, told over several beats; None if unclear."""
    beats = max(1, min(8, int((len(likeness) - 2) / lag / 2)))
    low, high = int(beats * lag * 0.97), int(np.ceil(beats * lag * 1.03)) + 1
    window = likeness[low : min(high + 1, len(likeness) - 1)]
    if not len(window) or window.max() < CLEAR_BEAT:
        return None
    peak = low + int(np.argmax(window))
    left, top, right = likeness[peak - 1 : peak + 2].tolist()
    bend = left - 2 * top + right  # a parabola through the peak and its neighbours
    offset = 0.0 if bend >= 0 else 0.5 * (left - right) / bend
    return (peak + max(-0.5, min(0.5, offset))) / beats


def key_of(samples: np.ndarray) -> str | None:
    """The key whose profile correlates best with the mean chroma.

    The method is Krumhansl's ("Cognitive Foundations of Musical Pitch", 1990).
    """
    import librosa

    chroma = librosa.feature.chroma_stft(
        y=samples, sr=RATE, n_fft=CHROMA_WINDOW, hop_length=CHROMA_WINDOW // 2
    ).mean(axis=1)
    if not chroma.std() > 0:
        return None
    fits = {
        f"{tonic}{mode}": float(np.corrcoef(chroma, np.roll(profile, shift))[0, 1])
        for mode, profile in (("", MAJOR), ("m", MINOR))
        for shift, tonic in enumerate(TONICS)
    }
    best, second = sorted(fits, key=fits.__getitem__, reverse=True)[:2]
    clear = fits[best] >= CLEAR_FIT and fits[best] - fits[second] >= CLEAR_KEY
    return best if clear else None
