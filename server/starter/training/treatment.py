"""Owns what happens to stems between the musician and the mix: other desks, amplifiers and rooms.

A network that hears every stem through many of them listens for the instrument and not for one
recording of it. All of it works on whole batches, where they lie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, interpolate, max_pool1d

from server.starter.training.bank import SR

OCTAVES = 10  # of an equaliser, from 22 Hz to 22 kHz
DULL = 0.2  # of the equalised: how many lose their highs, as cheap samples and old tapes have
Treatment = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]


def treated(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Stems (count, 2, samples): gain, polarity and sides for each, more for some."""
    count = len(stems)
    gains = rng.choice((-1.0, 1.0), count) * 10.0 ** (rng.uniform(-10.0, 2.0, count) / 20.0)
    stems = stems * as_column(gains, stems)
    flipped = np.flatnonzero(rng.random(count) < 0.5)
    stems[flipped] = stems[flipped].flip(1)
    for often, treatment in TREATMENTS:
        chosen = np.flatnonzero(rng.random(count) < often)
        if len(chosen):
            stems[chosen] = treatment(stems[chosen], rng)
    return stems


def driven(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """An amplifier's or a tape's soft ceiling; peaks stay where they are."""
    drive = as_column(10.0 ** (rng.uniform(-6.0, 15.0, len(stems)) / 20.0), stems)
    peaks = stems.abs().amax((1, 2), keepdim=True).clamp(min=1e-6)
    return peaks * torch.tanh(drive * stems / peaks) / torch.tanh(drive)


def widened(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """From one to both sides: another width, from mono on, and another place."""
    middle, side = stems.mean(1, keepdim=True), 0.5 * (stems[:, :1] - stems[:, 1:])
    side = side * as_column(rng.uniform(0.0, 1.5, len(stems)), stems)
    pan = as_column(10.0 ** (rng.uniform(-6.0, 6.0, len(stems)) / 40.0), stems)
    return torch.cat(((middle + side) * pan, (middle - side) / pan), 1)


def coloured(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Through an equaliser at random; some are dull."""
    count = len(stems)
    curves = rng.normal(0.0, 4.0, (count, OCTAVES + 1)).clip(-12.0, 10.0)
    corner = np.where(rng.random(count) < DULL, rng.uniform(6.0, 9.5, count), OCTAVES)
    above = np.maximum(np.arange(OCTAVES + 1) - corner[:, None], 0.0)
    return equalised(stems, torch.from_numpy(curves - 24.0 * above).to(stems))


def equalised(stems: torch.Tensor, gains_db: torch.Tensor) -> torch.Tensor:
    """Stems (count, 2, samples) through filters without delay.

    gains_db: (count, OCTAVES + 1), at the octaves' corners.
    """
    spectra = torch.fft.rfft(stems)
    octave = octaves(spectra.shape[-1], stems.device)
    below = octave.long()
    curve = torch.lerp(gains_db[:, below], gains_db[:, below + 1], octave - below)
    return torch.fft.irfft(spectra * 10.0 ** (curve / 20.0)[:, None], stems.shape[-1])


def octaves(bins: int, device: torch.device) -> torch.Tensor:
    """Each bin's place on an equaliser, from 0 to just below OCTAVES."""
    heights = torch.linspace(0.0, 1.0, bins, device=device)
    return (OCTAVES + heights.clamp(min=2.0**-OCTAVES).log2()).clamp(max=OCTAVES - 1e-4)


def placed(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """In a room: noise that dies away, other on either side, after Moorer (1979).

    It goes round at the excerpt's end, as what sounded before it might.
    """
    count, _, samples = stems.shape
    decay = as_column(rng.uniform(0.1, 1.0, count), stems)  # seconds to 1/1000
    delay = as_column(rng.uniform(0.0, 0.03, count), stems)
    wet = as_column(10.0 ** (rng.uniform(-18.0, -3.0, count) / 20.0), stems)
    noise = torch.Generator(stems.device).manual_seed(int(rng.integers(1 << 62)))
    response = torch.randn(stems.shape, device=stems.device, generator=noise)
    after = torch.arange(samples, device=stems.device) / SR - delay
    response *= torch.exp(-6.9 * after.clamp(min=0.0) / decay) * (after >= 0.0)
    response *= wet * response.square().sum(2, keepdim=True).rsqrt()
    darker = 1.0 / (
        1.0 + torch.arange(samples // 2 + 1, device=stems.device) * (SR / samples / 6e3)
    )
    room = 1.0 + torch.fft.rfft(response) * darker
    return torch.fft.irfft(torch.fft.rfft(stems) * room, samples)


TREATMENTS: tuple[tuple[float, Treatment], ...] = (
    (0.15, driven), (0.3, widened), (0.5, coloured), (0.2, placed),
)  # fmt: skip


def limiter_gain(mixes: torch.Tensor, ceiling: torch.Tensor) -> torch.Tensor:
    """The gain (count, samples) that keeps each mix (count, 2, samples) below a share of its peak.

    ceiling: (count,), the share. Peaks are taken over 5 ms, the gain is smoothed over 50 ms.
    """
    hop, frames = SR // 200, 5
    peaks = max_pool1d(mixes.abs().amax(1, keepdim=True), hop, ceil_mode=True)
    peaks = max_pool1d(peaks, 2 * frames + 1, 1, frames)
    highest = peaks.amax(2, keepdim=True)
    gain = (ceiling[:, None, None] * highest / peaks.clamp(min=1e-9)).clamp(max=1.0)
    gain = avg_pool1d(gain, 2 * frames + 1, 1, frames, count_include_pad=False)
    return interpolate(gain, size=mixes.shape[-1], mode="linear", align_corners=False)[:, 0]


def as_column(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """One number a stem: (count, 1, 1), of the type and on the device of `like`."""
    return torch.from_numpy(values).to(like)[:, None, None]
