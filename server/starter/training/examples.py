"""Owns how training examples are drawn from banks: at random, and never twice alike.

A batch is drawn as a whole, a few operations a part, where the banks lie: on a card too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, interpolate, max_pool1d

from server.starter.training.bank import SR, Bank

REMIXED, RETUNED, DOUBLED, EQUALISED, LIMITED = 0.67, 0.5, 0.15, 0.3, 0.25  # how often
SPEEDS = (0.87, 1.15)
OCTAVES = 10  # of an equaliser, from 22 Hz to 22 kHz


class Places(NamedTuple):
    """Where excerpts begin, and how fast they are played: arrays (excerpts,)."""

    banks: np.ndarray  # each one's place among those that are drawn from
    songs: np.ndarray
    starts: np.ndarray
    speeds: np.ndarray

    def chosen(self, which: np.ndarray) -> Places:
        """Some of them."""
        return Places(*(column[which] for column in self))


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
    remixed = rng.random(size) < (REMIXED if whole else 1.0)
    batch = torch.empty((size, len(parts), 2, samples), device=banks[0].songs.device)
    for place, part in enumerate(parts):
        batch[np.flatnonzero(remixed), place] = draw_part(banks, part, rng, remixed.sum(), samples)
    if not remixed.all():
        places = draw_places(whole, rng, size - int(remixed.sum()), samples, retuned=0.0)
        for place, part in enumerate(parts):
            batch[np.flatnonzero(~remixed), place] = excerpts(whole, part, places, samples)
    batch = treated(batch.flatten(0, 1), rng).view_as(batch)
    limited = np.flatnonzero(rng.random(size) < LIMITED)
    if len(limited):
        ceiling = torch.from_numpy(rng.uniform(0.3, 0.9, len(limited))).to(batch)
        batch[limited] *= limiter_gain(batch[limited].sum(1), ceiling)[:, None, None]
    return batch


def shares(banks: Sequence[Bank]) -> np.ndarray:
    """How likely each of the banks is drawn from."""
    wanted = np.array([bank.share for bank in banks])
    return wanted / wanted.sum()


def draw_part(
    banks: Sequence[Bank], part: str, rng: np.random.Generator, count: int, samples: int
) -> torch.Tensor:
    """(count, 2, samples) of a part from anywhere; now and then two at once."""
    having = [bank for bank in banks if part in bank.parts]
    made = excerpts(having, part, draw_places(having, rng, count, samples), samples)
    doubled = np.flatnonzero(rng.random(count) < DOUBLED)
    if len(doubled):
        gain = torch.from_numpy(10.0 ** (rng.uniform(-12.0, 0.0, len(doubled)) / 20.0)).to(made)
        second = draw_places(having, rng, len(doubled), samples)
        made[doubled] += gain[:, None, None] * excerpts(having, part, second, samples)
    return made


def draw_places(
    banks: Sequence[Bank], rng: np.random.Generator, count: int, samples: int,
    retuned: float = RETUNED,
) -> Places:  # fmt: skip
    """Random banks by their shares, songs and starts for excerpts of `samples`.

    retuned: how many are played up to 15 % faster or slower, which moves formants and pitches:
    more singers, more drums.
    """
    chosen = rng.choice(len(banks), count, p=shares(banks))
    songs = np.array([len(bank.songs) for bank in banks])[chosen]
    lengths = np.array([bank.songs.shape[-1] for bank in banks])[chosen]
    speeds = np.where(rng.random(count) < retuned, rng.uniform(*SPEEDS, count), 1.0)
    speeds = np.where(np.ceil(samples * speeds) < lengths, speeds, 1.0)
    last = np.where(speeds == 1.0, lengths - samples, lengths - np.ceil(samples * speeds) - 1)
    starts = (rng.random(count) * (last + 1)).astype(np.int64)
    return Places(chosen, (rng.random(count) * songs).astype(np.int64), starts, speeds)


def excerpts(banks: Sequence[Bank], part: str, places: Places, samples: int) -> torch.Tensor:
    """(excerpts, 2, samples) float32 of one part, on the banks' device."""
    made = torch.empty((len(places.banks), 2, samples), device=banks[0].songs.device)
    for place, bank in enumerate(banks):
        for retuned in (False, True):
            which = (places.banks == place) & ((places.speeds != 1.0) == retuned)
            if which.any():
                taken = read(bank.of(part), places.chosen(which), samples, retuned)
                made[np.flatnonzero(which)] = taken
    return made


def read(stem: torch.Tensor, places: Places, samples: int, retuned: bool) -> torch.Tensor:
    """(excerpts, 2, samples) float32 of one part of a bank (songs, 2, length).

    retuned: between its samples, by straight lines.
    """
    device = stem.device
    songs = torch.from_numpy(places.songs).to(device)[:, None, None]
    sides = torch.arange(2, device=device)[:, None]
    starts = torch.from_numpy(places.starts).to(device)[:, None, None]
    steps = torch.arange(samples, device=device)
    if not retuned:
        return stem[songs, sides, starts + steps].float()
    # in double precision: a float32 counts a song's samples, but hardly what lies between them
    ahead = torch.from_numpy(places.speeds).to(device)[:, None, None] * steps
    at = ahead.long()
    before, after = (stem[songs, sides, starts + at + k].float() for k in (0, 1))
    return torch.lerp(before, after, (ahead - at).float().expand_as(before))


def treated(stems: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Stems (count, 2, samples) by other engineers: gain, polarity, sides, equaliser."""
    count = len(stems)
    gains = rng.choice((-1.0, 1.0), count) * 10.0 ** (rng.uniform(-10.0, 2.0, count) / 20.0)
    stems = stems * torch.from_numpy(gains).to(stems)[:, None, None]
    flipped = np.flatnonzero(rng.random(count) < 0.5)
    stems[flipped] = stems[flipped].flip(1)
    chosen = np.flatnonzero(rng.random(count) < EQUALISED)
    if len(chosen):
        curves = rng.normal(0.0, 3.0, (len(chosen), OCTAVES + 1)).clip(-8.0, 8.0)
        stems[chosen] = equalised(stems[chosen], torch.from_numpy(curves).to(stems))
    return stems


def equalised(stems: torch.Tensor, gains_db: torch.Tensor) -> torch.Tensor:
    """Stems (count, 2, samples) through filters without delay.

    gains_db: (count, OCTAVES + 1), at the octaves' corners.
    """
    spectra = torch.fft.rfft(stems)
    heights = torch.linspace(0.0, 1.0, spectra.shape[-1], device=stems.device)
    octave = (OCTAVES + heights.clamp(min=2.0**-OCTAVES).log2()).clamp(max=OCTAVES - 1e-4)
    below = octave.long()
    curve = torch.lerp(gains_db[:, below], gains_db[:, below + 1], octave - below)
    return torch.fft.irfft(spectra * 10.0 ** (curve / 20.0)[:, None], stems.shape[-1])


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
