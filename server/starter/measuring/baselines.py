"""Owns what a model has to beat, and what it can hardly reach: six stems without learning.

A mix (2, samples) float32 at 44.1 kHz becomes a guess at every stem. Knows no models.
"""

from __future__ import annotations

import librosa
import numpy as np
from scipy.signal import butter, sosfiltfilt

from kernels import hpss

SR = 44100
FRAME = 4096  # samples, of the oracle's spectra
BASS_HZ = 180.0  # what is steady below is called bass
VOICE_HZ = (200.0, 5000.0)  # what is steady, in the middle and between these is called a voice
SHARED = ("other", "guitar", "piano")  # the rest, in equal shares: nothing here tells them apart

Guesses = dict[str, np.ndarray]


def split_by_hpss(mix: np.ndarray) -> Guesses:
    """Separate by rules: what drums, bass and singers most often are in a mix.

    Harmonic-percussive separation (Fitzgerald, 2010) gives the drums; of the harmonic part, the
    lows are the bass and the middle of the stage, (left + right) / 2, in a singer's band is the
    vocals. Other, guitar and piano get a third of the rest each. The filters are Butterworth's,
    without delay; the guesses add up to the mix.
    """
    harmonic, percussive = hpss(mix)
    bass = filtered(harmonic, BASS_HZ, "lowpass")
    rest = harmonic - bass
    middle = np.broadcast_to(rest.mean(axis=0), rest.shape)
    vocals = filtered(middle, VOICE_HZ, "bandpass")
    share = (rest - vocals) / np.float32(len(SHARED))
    return {"drums": percussive, "bass": bass, "vocals": vocals, **dict.fromkeys(SHARED, share)}


def ideal_ratio_mask(stems: Guesses) -> Guesses:
    """The oracle: what a mask over the mix's spectrogram can do that knows the stems.

    Each bin of the mix goes to the stems by the ratio of their magnitudes (frames of 4,096
    samples), as in the reports of the Signal Separation Evaluation Campaigns (Stöter et al.,
    2018). No separator knows that much; those that go by more than masks may exceed it.
    """
    spectra = {name: librosa.stft(stem, n_fft=FRAME) for name, stem in stems.items()}
    mix = sum(spectra.values())
    whole = sum(np.abs(spectrum) for spectrum in spectra.values()) + 1e-9
    length = next(iter(stems.values())).shape[-1]
    return {
        name: librosa.istft(mix * (np.abs(spectrum) / whole), n_fft=FRAME, length=length)
        for name, spectrum in spectra.items()
    }


def equal_shares(mix: np.ndarray, stems: tuple[str, ...]) -> Guesses:
    """The mix divided by the number of `stems`, for each of them."""
    return dict.fromkeys(stems, mix / np.float32(len(stems)))


def filtered(x: np.ndarray, corner: float | tuple[float, float], kind: str) -> np.ndarray:
    """`x` (2, samples) through a filter of order 4, there and back: 6 dB down at its corners."""
    sos = butter(4, corner, kind, fs=SR, output="sos")
    pad = min(3 * (2 * len(sos) + 1), x.shape[1] - 1)
    return sosfiltfilt(sos, x, axis=1, padlen=pad).astype(np.float32)
