"""Owns the measures of a separation: a stem as it was and a guess at it become decibels.

Signals are (2, samples) float32, full scale 1.0. Knows no models, songs or stems.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FRAME = 44100  # samples: the second over which framewise figures are taken
SILENCE = 1e-6  # mean square, -60 dB: a stem below it has no SDR
TINY = 1e-15  # keeps every ratio finite


class Measures(NamedTuple):
    """Decibels of one guess, the more the better."""

    sdr: float
    frame_sdr: float
    si_sdr: float


def measure(truth: np.ndarray, guess: np.ndarray) -> Measures:
    """All the measures. `truth` must not be silent."""
    return Measures(sdr(truth, guess), framewise_sdr(truth, guess), si_sdr(truth, guess))


def sdr(truth: np.ndarray, guess: np.ndarray) -> float:
    """Signal to distortion of a whole song in dB: 10 log10(sum s^2 / sum (s - g)^2).

    The measure of the Music Demixing Challenges of 2021 and 2023 (Mitsufuji et al., 2022; Fabbro
    et al., 2024), also called new SDR or uSDR. `truth` must not be silent.
    """
    return ratio_db(energy(truth), energy(truth - guess))


def framewise_sdr(truth: np.ndarray, guess: np.ndarray) -> float:
    """The median over the seconds of a song of each one's SDR, in dB.

    Seconds in which the truth is silent do not count; the last may be shorter. `truth` must not
    be silent as a whole. It is the SDR of BSSEval v4 (Stöter et al., 2018): the filters there
    split the error into three parts, and the SDR takes it whole. `museval` differs in what it
    leaves out: the seconds in which any of the sources is exactly zero.
    """
    starts = np.arange(0, truth.shape[1], FRAME)
    signal, error = second_energies(truth, starts), second_energies(truth - guess, starts)
    lengths = np.diff(starts, append=truth.shape[1]) * truth.shape[0]
    heard = signal > SILENCE * lengths
    ratios = [ratio_db(s, e) for s, e in zip(signal[heard], error[heard], strict=True)]
    return float(np.median(ratios))


def si_sdr(truth: np.ndarray, guess: np.ndarray) -> float:
    """SDR of the scaled truth nearest to the guess (Le Roux et al., 2019), both channels as one."""
    s, g = truth.astype(np.float64).ravel(), guess.astype(np.float64).ravel()
    power = np.dot(s, g) ** 2 / np.dot(s, s)  # of the scaled truth
    return ratio_db(power, max(0.0, np.dot(g, g) - power))


def level_db(guess: np.ndarray, mix: np.ndarray) -> float:
    """How loud a guess is beside the mix, in dB of mean power: what leaks into an absent stem."""
    return ratio_db(energy(guess), energy(mix))


def is_silent(x: np.ndarray) -> bool:
    """Whether a stem's mean power is too low for an SDR."""
    return energy(x) <= SILENCE * x.size


def energy(x: np.ndarray) -> float:
    """The sum of squares, in double precision."""
    wide = x.astype(np.float64).ravel()
    return float(np.dot(wide, wide))


def second_energies(x: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The sums of squares of the stretches that begin at `starts`, both channels: (stretches,)."""
    return np.add.reduceat(np.einsum("cn,cn->n", x, x), starts, dtype=np.float64)


def ratio_db(power: float, error: float) -> float:
    """A ratio of powers in dB, kept finite: at most about 150."""
    return float(10.0 * np.log10((power + TINY) / (error + TINY * (1.0 + power))))
