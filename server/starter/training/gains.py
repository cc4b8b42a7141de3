"""Fits what the starter's stems are made of:
python -m server.starter.training.gains LISTING --bank FILE.

Owns the least squares from all that a model's networks put out, and the mix, to the true stems.
The stems add up to the mix exactly. The gains go into the model's listing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from server.engine.cpu import prepare_cpu
from server.engine.library.catalog import whole
from server.engine.loading import load_members
from server.engine.maskbag import MaskBag
from server.starter.store import save_bag
from server.starter.training.bank import SR, Bank, load_bank
from server.starter.training.loss import QUIET

Example = tuple[np.ndarray, np.ndarray]  # true stems (stems, samples); outputs, and last the mix
RIDGE = 1e-4  # of a mean output's energy: outputs that add up to the mix are not independent


def fit_gains(songs: Iterable[Example], allowed: np.ndarray) -> np.ndarray:
    """Gains (stems, columns) of least squared error that add up to the mix.

    Each stem's error counts over (its energy + QUIET of the mix's), as in training.
    allowed: bool (stems, columns). A stem that may use less than all columns is what it would be
    if there were no others; the rest of the stems share out what it leaves.
    """
    stems, columns = allowed.shape
    left, right = np.zeros((stems, columns, columns)), np.zeros((stems, columns))
    for truths, made in songs:
        made, truths = made.astype(np.float64), truths.astype(np.float64)
        gram, cross = made @ made.T, truths @ made.T
        weight = 1.0 / ((truths * truths).sum(1) + QUIET * gram[-1, -1])
        left += weight[:, None, None] * gram
        right += weight[:, None] * cross
    ridge = RIDGE * np.trace(left, axis1=1, axis2=2) / columns
    left += ridge[:, None, None] * np.eye(columns)
    gains, rest, whole = np.zeros((stems, columns)), np.eye(columns)[-1], allowed.all(1)
    for stem in np.flatnonzero(~whole):
        use = allowed[stem]
        alone = adding_up(left[:, use][:, :, use], right[:, use], np.eye(columns)[-1, use])
        gains[stem, use] = alone[stem]
        rest = rest - gains[stem]
    gains[whole] = adding_up(left[whole], right[whole], rest)
    return gains


def adding_up(left: np.ndarray, right: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The rows of least squared error that add up to `total`, by Lagrange's multipliers.

    left: (rows, columns, columns), right: (rows, columns): each row's normal equations.
    """
    inverse = np.linalg.inv(left)
    free = np.einsum("sij,sj->si", inverse, right)
    missing = np.linalg.solve(inverse.sum(0), total - free.sum(0))
    return free + np.einsum("sij,j->si", inverse, missing)


def outputs(networks: Sequence[Any], bank: Bank, count: int) -> Iterator[Example]:
    """Of two segments in the middle of each song: truths, and what the networks make of the mix."""
    samples = int(networks[0].segment * SR)
    start = (bank.songs.shape[-1] - 2 * samples) // 2
    for song in tqdm(bank.songs[:count], desc="songs", mininterval=5.0):
        stems = song[..., start : start + 2 * samples].float()
        mix = stems.sum(0)
        if not mix.any():
            continue
        pieces = torch.stack(mix.split(samples, -1))
        with torch.no_grad():
            made = torch.cat([network(pieces) for network in networks], 1)
        made = torch.cat((torch.cat(list(made), -1), mix[None]))
        yield stems.flatten(1).numpy(), made.flatten(1).numpy()


def allowed_columns(
    outputs: Sequence[int], stems: Sequence[str], vocals_by: int | None
) -> np.ndarray:
    """Which columns each stem may use: bool (stems, columns); outputs: how many of each network.

    Where one network makes the vocals, they are made of its outputs and the mix, so that it can
    run alone.
    """
    allowed = np.ones((len(stems), sum(outputs) + 1), bool)
    if vocals_by is not None:
        maker = np.repeat(np.arange(len(outputs)), outputs)
        allowed[list(stems).index("vocals"), :-1] = maker == vocals_by
    return allowed


def rounded(gains: np.ndarray) -> np.ndarray:
    """Four decimals, and still the same sum: the last row takes the rest."""
    short = gains.round(4)
    short[-1] += (gains.sum(0) - short.sum(0)).round(4)
    return short.round(4)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.training.gains",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("listing", type=Path, help="a model's .yaml, its weights beside it")
    parser.add_argument("--bank", type=Path, required=True, help="songs of six stems that the "
                        "networks have not learnt from")  # fmt: skip
    parser.add_argument("--songs", type=int, default=120)
    parser.add_argument(
        "--vocals-by",
        type=int,
        metavar="PLACE",
        help="the network that makes the vocals alone, counted from 0",
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    prepare_cpu(args.threads)
    bank, files = load_bank(args.bank), whole(args.listing.stem, args.listing.parent)
    if files is None:
        parser.error(f"{args.listing}: not a model's listing with all its weights beside it")
    networks, wiener = load_members(files).networks, None
    if isinstance(networks[0], MaskBag):  # of gains that are to be fitted anew
        wiener, networks = dict(networks[0].wiener), list(networks[0].networks)
    allowed = allowed_columns([len(n.sources) for n in networks], bank.parts, args.vocals_by)
    gains = rounded(fit_gains(outputs(networks, bank, args.songs), allowed))
    rows = dict(zip(bank.parts, gains.tolist(), strict=True))
    save_bag(files.folder, files.name, [path.stem for path in files.files], gains=rows,
             wiener=wiener or None)
    print(args.listing.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
