"""Harmonic-percussive separation: ours against librosa's, 30 s of stereo, one thread each."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np

from kernels import hpss

SECONDS, RATE = 30, 44_100
OURS_ROUNDS, THEIRS_ROUNDS = 9, 3


def run() -> dict[str, Any]:
    """Time both on the same song in turns, so that a busy machine slows both; medians in s."""
    song = make_song()
    wanted = librosa.effects.hpss(song, hop_length=512)
    got = hpss(song)
    ours, theirs = [], []
    for _ in range(THEIRS_ROUNDS):
        theirs.append(_seconds(lambda: librosa.effects.hpss(song, hop_length=512)))
        ours += [_seconds(lambda: hpss(song)) for _ in range(OURS_ROUNDS // THEIRS_ROUNDS)]
    ours_s, theirs_s = statistics.median(ours), statistics.median(theirs)
    return {
        "name": "hpss_30s_stereo",
        "ours_s": ours_s,
        "theirs_s": theirs_s,
        "ratio": theirs_s / ours_s,
        "snr_db": min(_snr(g, w) for g, w in zip(got, wanted, strict=True)),
    }


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


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _snr(got: np.ndarray, wanted: np.ndarray) -> float:
    error = got.astype(np.float64) - wanted
    return float(10 * np.log10(np.sum(wanted.astype(np.float64) ** 2) / np.sum(error**2)))


def main() -> None:
    """Print one line."""
    result = run()
    times = "{ours_s:.3f} s, librosa {theirs_s:.2f} s: {ratio:.0f} times".format(**result)
    print(f"{result['name']}: {times}, {result['snr_db']:.0f} dB")


if __name__ == "__main__":
    main()
