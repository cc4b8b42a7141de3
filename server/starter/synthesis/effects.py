"""Owns what happens to a stem after it is played: place, room, colour. Stereo is (2, samples).

Knows nothing of notes or instruments.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from server.starter.synthesis.filters import QUIET


def pan(mono: np.ndarray, place: float) -> np.ndarray:
    """Place `mono` (samples,) between left (-1) and right (1) at constant power: (2, samples)."""
    angle = (place + 1.0) * np.pi / 4.0
    gains = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return gains[:, None] * mono[None]


def saturate(x: np.ndarray, drive: float) -> np.ndarray:
    """Soft clipping; `drive` is the input gain at unit peak, and the peak is kept."""
    peak = float(np.abs(x).max())
    if peak == 0.0:
        return x
    return (np.tanh(x * (drive / peak)) * (peak / np.tanh(drive))).astype(np.float32)


def bell(freq: float, q: float, db: float, sr: int) -> np.ndarray:
    """A peaking equaliser at `freq` Hz as b0 b1 b2 a1 a2 (Bristow-Johnson, Audio EQ Cookbook)."""
    amp, w = 10.0 ** (db / 40.0), 2.0 * np.pi * freq / sr
    alpha, middle = np.sin(w) / (2.0 * q), -2.0 * np.cos(w)
    scale = 1.0 + alpha / amp
    return np.array([1 + alpha * amp, middle, 1 - alpha * amp, middle, 1 - alpha / amp]) / scale


def shelf(freq: float, db: float, high: bool, sr: int) -> np.ndarray:
    """A shelf of slope 1 above or below `freq` Hz, in the same form and from the same source."""
    amp, w = 10.0 ** (db / 40.0), 2.0 * np.pi * freq / sr
    c = -np.cos(w) if high else np.cos(w)
    root = np.sqrt(2.0 * amp) * np.sin(w)
    up, down, sign = amp + 1.0, amp - 1.0, -1.0 if high else 1.0
    b = amp * np.array([up - down * c + root, sign * 2 * (down - up * c), up - down * c - root])
    a = np.array([up + down * c + root, sign * -2 * (down + up * c), up + down * c - root])
    return np.concatenate([b, a[1:]]) / a[0]


@njit(cache=True)
def equalise(x: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Filter `x` (channels, samples) by each of `bands` (n, 5) in turn: transposed form II."""
    out = x.copy()
    for k in range(len(bands)):
        b0, b1, b2, a1, a2 = bands[k]
        for c in range(x.shape[0]):
            s1, s2 = 0.0, 0.0
            for i in range(x.shape[1]):
                value = out[c, i] + QUIET
                y = b0 * value + s1
                s1 = b1 * value - a1 * y + s2
                s2 = b2 * value - a2 * y
                out[c, i] = y
    return out


@njit(cache=True)
def gain_track(x: np.ndarray, threshold: float, ratio: float, release_s: float, sr: float
               ) -> np.ndarray:  # fmt: skip
    """The gain (samples,) float32 of a feed-forward compressor that listens to `x` (channels,
    samples): a level above `threshold` is brought down by `ratio`.

    The peak of all channels drives it, with 5 ms of attack (Giannoulis et al., 2012).
    """
    out = np.empty(x.shape[1], dtype=np.float32)
    up, down = 1.0 - np.exp(-1.0 / (0.005 * sr)), 1.0 - np.exp(-1.0 / (release_s * sr))
    level, gain = 0.0, 1.0
    for i in range(x.shape[1]):
        peak = QUIET
        for c in range(x.shape[0]):
            peak = max(peak, abs(x[c, i]))
        level += (up if peak > level else down) * (peak - level)
        if i % 16 == 0:
            gain = (threshold / level) ** (1.0 - 1.0 / ratio) if level > threshold else 1.0
        out[i] = gain
    return out


def widen(x: np.ndarray, width: float) -> np.ndarray:
    """Scale the sides of `x` (2, samples) against its middle: 0 = mono, 1 = as it is."""
    middle, side = 0.5 * (x[0] + x[1]), np.float32(0.5 * width) * (x[0] - x[1])
    return np.stack([middle + side, middle - side])


def tremolo(x: np.ndarray, rate: float, depth: float, sr: int) -> np.ndarray:
    """Sway `x` (2, samples) from side to side, `rate` times a second."""
    sway = np.float32(depth) * np.sin(
        2 * np.pi * rate / sr * np.arange(x.shape[1], dtype=np.float32)
    )
    return x * np.stack([1.0 + sway, 1.0 - sway]) / np.float32(1.0 + depth)


@njit(cache=True)
def chorus(mono: np.ndarray, depth_s: float, rate: float, mix: float, sr: float) -> np.ndarray:
    """Widen `mono` (samples,) by two swaying delays in quadrature: (2, samples)."""
    n = len(mono)
    out = np.zeros((2, n), dtype=np.float32)
    for c in range(2):
        for i in range(n):
            sway = np.sin(2.0 * np.pi * rate * i / sr + c * np.pi / 2.0)
            delay = (0.012 + depth_s * sway) * sr
            at = i - delay
            wet = 0.0
            if at >= 0.0:
                whole = int(at)
                part = at - whole
                wet = (1.0 - part) * mono[whole] + part * mono[whole + 1]
            out[c, i] = (1.0 - 0.5 * mix) * mono[i] + mix * wet
    return out


@njit(cache=True)
def reverberate(
    x: np.ndarray, lengths: np.ndarray, seconds: float, damping: float, sr: float
) -> np.ndarray:
    """The wet sound of a room: a network of 8 delays mixed by a Householder matrix (Jot, 1991).

    x: (2, samples); lengths: 8 delays in samples; seconds: to fall by 60 dB; damping 0..1.
    """
    n = x.shape[1]
    out = np.zeros((2, n), dtype=np.float32)
    lines = np.zeros((8, lengths.max()), dtype=np.float32)
    gains = 10.0 ** (-3.0 * lengths / (seconds * sr))
    smooth, at = np.zeros(8), np.zeros(8, dtype=np.int64)
    for i in range(n):
        total = 0.0
        for k in range(8):
            smooth[k] += (1.0 - damping) * (lines[k, at[k]] - smooth[k]) + QUIET
            total += smooth[k]
            out[k % 2, i] += 0.35 * smooth[k]
        for k in range(8):
            back = smooth[k] - 0.25 * total
            lines[k, at[k]] = gains[k] * back + 0.5 * x[k % 2, i]
            at[k] = (at[k] + 1) % lengths[k]
    return out


def room(x: np.ndarray, rng: np.random.Generator, wet: float, sr: int) -> np.ndarray:
    """Add a random room's reverberation to `x` (2, samples) at gain `wet`."""
    base = np.array([29.7, 37.1, 41.1, 43.7, 53.3, 59.9, 67.1, 71.9])
    lengths = (base * rng.uniform(0.5, 1.3) * sr / 1000.0).astype(np.int64)
    seconds, damping = float(rng.uniform(0.4, 2.5)), float(rng.uniform(0.1, 0.6))
    return x + np.float32(wet) * reverberate(x, lengths, seconds, damping, float(sr))


def echo(x: np.ndarray, delay: int, feedback: float, wet: float) -> np.ndarray:
    """Add three repeats of `x` (2, samples), `delay` samples apart, swapping sides."""
    out = x.copy()
    for count in range(1, 4):
        shift = count * delay
        if shift < x.shape[1]:
            repeat = x[::-1] if count % 2 else x
            out[:, shift:] += np.float32(wet * feedback ** (count - 1)) * repeat[:, :-shift]
    return out


def active_rms(x: np.ndarray, sr: int) -> float:
    """RMS of `x` (2, samples) over its louder frames of 0.1 s, so that rests do not count."""
    hop = max(1, sr // 10)
    size = x.shape[1] // hop * hop
    if size == 0:
        return float(np.sqrt(np.mean(np.square(x))))
    power = np.square(x[:, :size]).reshape(2, -1, hop).mean(axis=(0, 2))
    peak = float(power.max())
    return float(np.sqrt(power[power >= 0.01 * peak].mean())) if peak > 0.0 else 0.0
