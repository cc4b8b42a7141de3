"""Harmonic-percussive separation of 30 s of stereo: against librosa's, against its own transforms
alone, and on all cores at once."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import librosa
import numpy as np
import scipy.fft

from kernels import hpss
from kernels.framing import Framer, OverlapAdd
from kernels.hpss import BLOCK
from loadtests.compare import Row, row, side_by_side, snr_db

SECONDS, RATE = 30, 44_100
N_FFT, HOP = 2048, 512
SONGS = 6  # for every core
CORES = len(os.sched_getaffinity(0))


def run() -> list[Row]:
    """The same song through both, in turns, on one thread each."""
    song = make_song()
    wanted, made = librosa.effects.hpss(song), hpss(song)
    quality = min(snr_db(w, m) for w, m in zip(wanted, made, strict=True))
    ours_s, theirs_s = side_by_side(lambda: hpss(song), lambda: librosa.effects.hpss(song))
    whole_s, transforms_s = side_by_side(lambda: hpss(song), lambda: transforms(song), rounds=15)
    return [
        row("hpss_30s_stereo", ours_s, theirs_s, snr_db=round(quality, 1)),
        row("hpss_against_its_transforms", whole_s, transforms_s),
        row(f"hpss_on_{CORES}_cores", *on_all_cores()),
    ]


def transforms(song: np.ndarray) -> None:
    """What a separation with margin 1 does but for medians and masks: frames, transforms there
    and back, overlap-add."""
    framer = Framer(2, N_FFT, HOP, BLOCK)
    overlap = OverlapAdd(2, framer.window, HOP, BLOCK, 1 / N_FFT)
    start = 0
    while start < song.shape[1]:
        part = song[:, start : start + framer.room]
        start += part.shape[1]
        framer.push(part)
        frames = framer.take()
        spectra = scipy.fft.rfft(frames, axis=-1)
        overlap.add(scipy.fft.irfft(spectra, N_FFT, norm="forward", overwrite_x=True))
        overlap.take(len(frames) * HOP)


def on_all_cores() -> tuple[float, float]:
    """Seconds for SONGS songs on each core at once, and what one core alone takes for all."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(_several, [1] * CORES * 2))  # imports, compiles
        began = time.perf_counter()
        list(pool.map(_several, [SONGS] * CORES))
        together = time.perf_counter() - began
        began = time.perf_counter()
        pool.submit(_several, SONGS).result()
        return together, CORES * (time.perf_counter() - began)


def _several(count: int) -> None:
    song = make_song()
    for _ in range(count):
        hpss(song)


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
