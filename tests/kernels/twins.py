"""Slow, obvious twins of the kernels, in double precision, and what several tests share."""

import numpy as np
import pytest
from numba import config
from scipy.signal import get_window

needs_jit = pytest.mark.skipif(config.DISABLE_JIT, reason="too much for interpreted loops")


def examples(count: int) -> int:
    """How many examples a property gets: few when the kernels run as plain Python."""
    return max(3, count // 8) if config.DISABLE_JIT else count


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    """White noise under a slow envelope, float32 (channels, samples)."""
    rng = np.random.default_rng(seed)
    envelope = 0.3 + 0.2 * np.sin(np.arange(samples) / 2000)
    return (envelope * rng.standard_normal((channels, samples))).astype(np.float32)


def snr(got: np.ndarray, wanted: np.ndarray) -> float:
    """Signal-to-noise ratio of `got` in dB, at most 300."""
    wanted = wanted.astype(np.float64)
    signal, error = np.sum(wanted**2), np.sum((got - wanted) ** 2)
    return float(10 * np.log10((signal + 1e-30) / (error + 1e-30 * (signal + 1e-30))))


def median(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Sliding median along `axis`, mirrored at the edges, the upper one for an even size."""
    before = size // 2
    pads = [(0, 0)] * values.ndim
    pads[axis] = (before, size - 1 - before)
    padded = np.pad(values, pads, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=axis)
    return np.sort(windows, axis=-1)[..., before]


def hpss(y, n_fft=2048, hop_length=512, kernel_size=31, power=2.0, margin=1.0):
    """Separation written down as librosa describes it; y (channels, samples)."""
    kernels = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
    margins = margin if isinstance(margin, tuple) else (margin,) * 2
    lead, samples = n_fft // 2, y.shape[1]
    padded = np.pad(y.astype(np.float64), [(0, 0), (lead, lead)])
    count = 1 + (padded.shape[1] - n_fft) // hop_length
    starts = np.arange(count) * hop_length
    window = get_window("hann", n_fft)
    frames = np.stack([padded[:, s : s + n_fft] for s in starts], axis=1)
    spectra = np.fft.rfft(frames * window)
    harmonic = median(np.abs(spectra), kernels[0], axis=1)
    percussive = median(np.abs(spectra), kernels[1], axis=2)
    empty = 0.5 if margins == (1, 1) else 0.0
    masks = (
        soft_mask(harmonic, percussive * margins[0], power, empty),
        soft_mask(percussive, harmonic * margins[1], power, empty),
    )
    parts = []
    for mask in masks:
        sums, weights = np.zeros(padded.shape), np.zeros(padded.shape[1])
        for t, start in enumerate(starts):
            sums[:, start : start + n_fft] += window * np.fft.irfft(
                spectra[:, t] * mask[:, t], n_fft
            )
            weights[start : start + n_fft] += window**2
        signal = sums / np.where(weights > 1e-38, weights, 1)
        parts.append(signal[:, lead : lead + samples])
    return parts


def soft_mask(own, other, power, empty):
    """own^p / (own^p + other^p), `empty` where both are zero."""
    if np.isinf(power):
        return (own > other).astype(float)
    largest = np.maximum(own, other)
    scale = np.where(largest > 1e-19, largest, 1)
    a, b = (own / scale) ** power, (other / scale) ** power
    return np.where(largest > 1e-19, a / np.where(a + b > 0, a + b, 1), empty)
