"""Harmonic-percussive separation: ours against librosa's, 30 s of stereo, one thread each."""

import librosa
import numpy as np

from kernels import hpss
from loadtests.compare import Row, row, side_by_side, snr_db

SECONDS, RATE = 30, 44_100


def run() -> list[Row]:
    """The same song through both, in turns."""
    song = make_song()
    wanted, made = librosa.effects.hpss(song), hpss(song)
    quality = min(snr_db(w, m) for w, m in zip(wanted, made, strict=True))
    ours_s, theirs_s = side_by_side(lambda: hpss(song), lambda: librosa.effects.hpss(song))
    return [row("hpss_30s_stereo", ours_s, theirs_s, snr_db=round(quality, 1))]


def make_song() -> np.ndarray:
    """Chords, drum hits and hiss, float32 (2, samples), the same every time."""
    rng = np.random.default_rng(2026)
    time_s = np.arange(SECONDS * RATE) / RATE
    chords = sum(
        np.sin(2 * np.pi * pitch * (1 + time_s // 2 % 4 / 12) * time_s) / (i + 1)
        for i, pitch in enumerate((110, 165, 220, 277, 330, 440, 660))
    )
    decay = np.exp(-(time_s % 0.5) * 30)
    hits = decay * rng.standard_normal((2, time_s.size))
    hiss = 0.01 * rng.standard_normal((2, time_s.size))
    song: np.ndarray = (0.1 * chords + 0.2 * hits + hiss).astype(np.float32)
    return song
