"""Owns the loop of a plucked string: guitars, and basses that have strings.

Knows nothing of music: pitches come as Hz. It adds its sound into a mono float32 buffer
(samples,) that the caller owns; what lies past the buffer's end is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from server.starter.synthesis.sounds import Event

DEEPEST = 1.2  # how many periods long the delay line is: bends go down by 3 semitones at most


class Pluck(NamedTuple):
    """A string and the hand on it."""

    decay_s: float  # seconds to fall by 60 dB
    bright: float  # 0..1
    damp_s: float  # seconds to fall by 60 dB once it is let go
    pick: float  # where it is plucked, as a share of its length
    pickup: float  # where it is heard, likewise; 0 = as a whole, without a pickup
    bend: float = 0.0  # cents off the pitch at the onset
    vibrato: float = 0.0  # cents


@njit(cache=True)
def excite(string: Pluck, period: float, noise: np.ndarray) -> np.ndarray:
    """What the pick leaves on the string, of RMS 0.3: noise with the comb of the pick's place.

    Above the first to the thirteenth harmonic, by the string's brightness, it falls by 6 dB an
    octave, as a plucked string's velocity does.
    """
    size = int(DEEPEST * period) + 3
    bent, line = np.zeros(size), np.zeros(size)
    rate = 1.0 - np.exp(-2.0 * np.pi * (1.0 + 12.0 * string.bright**2) / period)
    lag, low = max(1, int(string.pick * period)), 0.0
    for j in range(size):
        low += rate * (noise[j % len(noise)] - low)
        bent[j] = low
        line[j] = low - bent[j - lag] if j >= lag else low
    return line * (0.3 / np.sqrt(np.mean(line * line) + 1e-12))


@njit(cache=True)
def pluck_note(out: np.ndarray, event: Event, string: Pluck, noise: np.ndarray, sr: float) -> None:
    """Add a plucked string (Karplus and Strong, 1983; tuned, with the combs of pick and pickup,
    as in Jaffe and Smith, 1983).

    noise: the excitation, at least one period long.
    """
    start, gate, hertz, gain = event
    period = sr / hertz
    line = excite(string, period, noise)
    size, blend = len(line), 0.5 + 0.5 * string.bright
    loss = 10.0 ** (-3.0 / (string.decay_s * hertz))
    damped = loss * 10.0 ** (-3.0 / (string.damp_s * hertz))
    tap_lag = int(string.pickup * period)
    end = min(len(out), start + int((gate + 1.5 * string.damp_s) * sr))
    release = start + int(gate * sr)
    at, last, whole, part = 0, 0.0, 1, 0.0
    for i in range(start, end):
        if (i - start) % 16 == 0:
            t = (i - start) / sr
            sway = min(1.0, max(0.0, 3.0 * (t - 0.2))) * np.sin(2.0 * np.pi * 5.5 * t)
            cents = string.bend * np.exp(-t / 0.1) + string.vibrato * sway
            delay = min(period * 2.0 ** (-cents / 1200.0) - (1.0 - blend), size - 2.0)
            whole = int(delay)
            part = delay - whole
        near, far = at - whole, at - whole - 1
        near += size if near < 0 else 0
        far += size if far < 0 else 0
        tap = (1.0 - part) * line[near] + part * line[far]
        value = (loss if i < release else damped) * (blend * tap + (1.0 - blend) * last)
        last = tap
        line[at] = value
        heard = value
        if tap_lag > 0:
            back = at - tap_lag
            heard -= line[back + size if back < 0 else back]
        at = at + 1 if at + 1 < size else 0
        out[i] += gain * heard
