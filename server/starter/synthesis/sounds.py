"""Owns the loops that make a note's samples: oscillators, partials, modulation.

Knows nothing of music: pitches come as Hz. A loop adds its sound into a mono float32 buffer
(samples,) that the caller owns, and what lies past the buffer's end is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

FADED = 9.2  # time constants after which a partial is 80 dB down, and left out


class Event(NamedTuple):
    """When and how a sound begins: sample number, seconds held, Hz, linear gain."""

    start: int
    gate: float
    hertz: float
    gain: float


class Partials(NamedTuple):
    """What a note is the sum of: multiples of its pitch, gains, seconds to fall to 1/e."""

    ratios: np.ndarray
    gains: np.ndarray
    decays: np.ndarray
    release: float  # seconds, once the note is let go


class Bend(NamedTuple):
    """A modulator: its multiple of the pitch, its index, and seconds to fall to 1/e."""

    ratio: float
    depth: float
    depth_s: float
    decay_s: float
    release: float


class Patch(NamedTuple):
    """A subtractive synthesiser's panel. Times in seconds, frequencies in Hz."""

    square: float  # 0 = sawtooth, 1 = square
    detune: float  # cents between the outer two of three oscillators
    cutoff: float  # Hz, at rest
    sweep: float  # octaves that the filter opens at the onset
    sweep_s: float  # time constant of that opening
    resonance: float  # Q of the low-pass
    attack: float
    decay: float
    sustain: float  # gain, 0..1
    release: float
    vibrato: float  # cents


@njit(cache=True)
def blep(phase: float, step: float) -> float:
    """Polynomial correction of a sawtooth's jump (Välimäki and Huovilainen, 2007)."""
    if phase < step:
        t = phase / step
        return t + t - t * t - 1.0
    if phase > 1.0 - step:
        t = (phase - 1.0) / step
        return t * t + t + t + 1.0
    return 0.0


@njit(cache=True)
def band_limited(phase: float, step: float, square: float) -> float:
    """Sawtooth (square=0) to square (square=1) at `phase` in turns, `step` turns a sample."""
    saw = 2.0 * phase - 1.0 - blep(phase, step)
    if square == 0.0:
        return saw
    half = (phase + 0.5) % 1.0
    other = 2.0 * half - 1.0 - blep(half, step)
    return saw - square * other


@njit(cache=True)
def envelope(t: float, gate: float, patch: Patch) -> float:
    """Attack, decay, sustain, release at `t` seconds of a note held for `gate` seconds."""
    held = min(t, gate)
    if held < patch.attack:
        level = held / patch.attack
    else:
        fall = np.exp(-(held - patch.attack) / patch.decay)
        level = patch.sustain + (1.0 - patch.sustain) * fall
    if t > gate:
        level *= np.exp(-4.0 * (t - gate) / patch.release)
    return level


@njit(cache=True)
def synth_note(out: np.ndarray, event: Event, patch: Patch, phases: np.ndarray, sr: float) -> None:
    """Add three detuned oscillators, begun at three `phases` in turns, through a swept low-pass.

    The filter is the trapezoidal state-variable one (Zavalishin, The Art of VA Filter Design).
    """
    start, gate, hertz, gain = event
    end = min(len(out), start + int((gate + 1.2 * patch.release) * sr))
    phase = phases.copy()
    spread = 2.0 ** (patch.detune / 2400.0)
    ratios = (1.0 / spread, 1.0, spread)
    low, band, wobble = 0.0, 0.0, 1.0
    g, k, a1, level = 0.0, 1.0 / patch.resonance, 0.0, 0.0
    for i in range(start, end):
        t = (i - start) / sr
        if (i - start) % 16 == 0:
            opened = patch.cutoff * 2.0 ** (patch.sweep * np.exp(-t / patch.sweep_s))
            g = np.tan(np.pi * min(opened, 0.42 * sr) / sr)
            a1 = 1.0 / (1.0 + g * (g + k))
            depth = patch.vibrato * min(1.0, 2.0 * t)
            wobble = 2.0 ** (depth * np.sin(2 * np.pi * 5.3 * t) / 1200.0)
            level = envelope(t, gate, patch)
        x = 0.0
        for v in range(3):
            step = hertz * ratios[v] * wobble / sr
            phase[v] = (phase[v] + step) % 1.0
            x += band_limited(phase[v], step, patch.square)
        v3 = x - low
        v1 = a1 * (band + g * v3)
        v2 = low + g * v1
        band, low = 2.0 * v1 - band, 2.0 * v2 - low
        out[i] += gain * level * v2 * 0.4


@njit(cache=True)
def partials_note(out: np.ndarray, event: Event, partials: Partials, sr: float) -> None:
    """Add decaying sines, each a rotating phasor: organs, pianos, bells."""
    start, gate, hertz, gain = event
    end = min(len(out), start + int((gate + 5.0 * partials.release) * sr))
    held = start + int(gate * sr)
    rise = max(1.0, 0.002 * sr)
    for p in range(len(partials.ratios)):
        turns = hertz * partials.ratios[p] / sr
        if turns > 0.45:
            continue
        angle = 2.0 * np.pi * turns
        turn = complex(np.cos(angle), np.sin(angle)) * np.exp(-1.0 / (partials.decays[p] * sr))
        off = turn * np.exp(-1.0 / (partials.release * sr))
        state = complex(gain * partials.gains[p], 0.0)
        heard = start + int(FADED * partials.decays[p] * sr)
        for i in range(start, min(end, heard)):
            state *= turn if i < held else off
            out[i] += state.imag * min(1.0, (i - start) / rise)


@njit(cache=True)
def fm_note(out: np.ndarray, event: Event, tone: Bend, sr: float) -> None:
    """Add two-operator frequency modulation (Chowning, 1973)."""
    start, gate, hertz, gain = event
    ratio, depth, depth_s, decay_s, release = tone
    end = min(len(out), start + int((gate + 5.0 * release) * sr))
    for i in range(start, end):
        t = (i - start) / sr
        level = np.exp(-t / decay_s) * min(1.0, t / 0.003)
        if t > gate:
            level *= np.exp(-(t - gate) / release)
        turns = 2.0 * np.pi * hertz * t
        bend = depth * np.exp(-t / depth_s) * np.sin(ratio * turns)
        out[i] += gain * level * np.sin(turns + bend)
