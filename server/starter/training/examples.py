"""Owns how training examples are drawn from banks: at random, and never twice alike.

A batch is drawn as a whole, a few operations a part, where the banks lie: on a card too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from server.starter.training.bank import Bank
from server.starter.training.treatment import limiter_gain, treated

REMIXED, RETUNED, DOUBLED, LIMITED = 0.67, 0.5, 0.15, 0.25  # how often
SPEEDS = (0.8, 1.25)


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
    part is treated on its own, as other engineers and other rooms might; some mixes go through a
    limiter, which turns all parts alike.
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

    retuned: how many are played up to a quarter faster or slower, which moves formants and
    pitches: more singers, more drums.
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
