"""Owns how training examples are drawn from banks: at random, and never twice alike.

Examples are mixed where the banks lie, so what was moved to a card is mixed there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, interpolate, max_pool1d

from server.starter.bank import SR, Bank

REMIXED, RETUNED, DOUBLED, EQUALISED, LIMITED = 0.67, 0.5, 0.15, 0.3, 0.25  # how often
OCTAVES = 10  # of an equaliser, from 22 Hz to 22 kHz


def draw_batch(
    banks: Sequence[Bank], parts: Sequence[str], rng: np.random.Generator, size: int, samples: int
) -> torch.Tensor:
    """Training examples: `parts` (size, parts, 2, samples) float32, whose sum is the mix.

    Two thirds of the examples take each part from a song, a bank and a speed of its own, as in
    Demucs' remixing (Défossez et al., 2019), and so do all where no bank has all the parts. Every
    part gets a random gain, sides, polarity and sometimes an equaliser of its own; some mixes
    go through a limiter, which turns all parts alike.
    """
    whole = [bank for bank in banks if set(parts) <= set(bank.parts)]
    device = banks[0].songs.device
    batch = torch.empty((size, len(parts), 2, samples), device=device)
    for example in batch:
        if rng.random() < REMIXED or not whole:
            for place, part in enumerate(parts):
                example[place] = draw_part(banks, part, rng, samples)
        else:
            bank = choose(whole, rng)
            song, start = draw_place(bank.songs, rng, samples)
            for place, part in enumerate(parts):
                example[place] = bank.of(part)[song, :, start : start + samples]
        for stem in example:
            stem.copy_(treated(stem, rng))
        if rng.random() < LIMITED:
            example *= limiter_gain(example.sum(0), float(rng.uniform(0.3, 0.9)))
    return batch


def choose(banks: Sequence[Bank], rng: np.random.Generator) -> Bank:
    """One of the banks, by their shares."""
    shares = np.array([bank.share for bank in banks])
    return banks[int(rng.choice(len(banks), p=shares / shares.sum()))]


def draw_part(
    banks: Sequence[Bank], part: str, rng: np.random.Generator, samples: int
) -> torch.Tensor:
    """(2, samples) of a part from anywhere; now and then two at once."""
    having = [bank for bank in banks if part in bank.parts]
    excerpt = draw_excerpt(choose(having, rng).of(part), rng, samples)
    if rng.random() < DOUBLED:
        gain = float(10.0 ** (rng.uniform(-12.0, 0.0) / 20.0))
        excerpt = excerpt + gain * draw_excerpt(choose(having, rng).of(part), rng, samples)
    return excerpt


def draw_excerpt(stem: torch.Tensor, rng: np.random.Generator, samples: int) -> torch.Tensor:
    """(2, samples) float32 of one stem of the bank (songs, 2, length), half of them retuned.

    Playing up to 15 % faster or slower moves formants and pitches: more singers, more drums.
    """
    taken = samples if rng.random() < RETUNED else int(samples * rng.uniform(0.87, 1.15))
    taken = min(taken, stem.shape[-1])
    song, start = draw_place(stem, rng, taken)
    excerpt = stem[song, :, start : start + taken].float()
    if taken == samples:
        return excerpt
    return interpolate(excerpt[None], size=samples, mode="linear", align_corners=False)[0]


def draw_place(bank: torch.Tensor, rng: np.random.Generator, samples: int) -> tuple[int, int]:
    """A random song and a random start within it."""
    return int(rng.integers(len(bank))), int(rng.integers(bank.shape[-1] - samples + 1))


def treated(stem: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A stem (2, samples) by another engineer: gain, polarity, sides, equaliser."""
    stem = stem * float(rng.choice((-1.0, 1.0)) * 10.0 ** (rng.uniform(-10, 2) / 20.0))
    if rng.random() < 0.5:
        stem = stem.flip(0)
    if rng.random() < EQUALISED:
        stem = equalised(stem, rng.normal(0.0, 3.0, OCTAVES + 1).clip(-8.0, 8.0))
    return stem


def equalised(stem: torch.Tensor, gains_db: np.ndarray) -> torch.Tensor:
    """A stem (2, samples) through a filter without delay; gains_db: at the octaves' corners."""
    spectrum = torch.fft.rfft(stem)
    bins = spectrum.shape[-1]
    octave = OCTAVES + np.log2(np.maximum(np.linspace(0.0, 1.0, bins), 2.0**-OCTAVES))
    gain = 10.0 ** (np.interp(octave, np.arange(OCTAVES + 1), gains_db) / 20.0)
    turn = torch.from_numpy(gain.astype(np.float32)).to(stem.device)
    return torch.fft.irfft(spectrum * turn, stem.shape[-1])


def limiter_gain(mix: torch.Tensor, ceiling: float) -> torch.Tensor:
    """The gain (samples,) that keeps a mix (2, samples) below a share of its own peak.

    Peaks are taken over 5 ms, the gain is smoothed over 50 ms.
    """
    hop, frames = SR // 200, 5
    peaks = max_pool1d(mix.abs().amax(0)[None, None], hop, ceil_mode=True)
    peaks = max_pool1d(peaks, 2 * frames + 1, 1, frames)
    gain = (ceiling * peaks.amax() / peaks.clamp(min=1e-9)).clamp(max=1.0)
    gain = avg_pool1d(gain, 2 * frames + 1, 1, frames, count_include_pad=False)
    return interpolate(gain, size=mix.shape[-1], mode="linear", align_corners=False)[0, 0]
