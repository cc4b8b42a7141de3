"""Measures a separation model on songs that it never heard: python -m server.starter.quality.

Training takes song seeds below 1,000,000, its validation those below 2,000,000; the songs here
start at 2,000,000. Owns the measures, and knows nothing of how a model came to be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from demucs.apply import Model, apply_model
from demucs.hf import load_safetensors_model
from tqdm import tqdm

from server.starter.songs import STEMS, synthesise

TEST_SEED = 2_000_000
WEIGHTS = Path(__file__).parent / "weights" / "starter.safetensors"
SILENCE = 1e-6  # mean square, -60 dB: a stem below it has no SDR


class Score(NamedTuple):
    """Decibels of one stem in one song: the model's, then what the mix itself would score."""

    stem: str
    sdr: float
    si_sdr: float
    mix_sdr: float
    mix_si_sdr: float


def sdr(truth: np.ndarray, guess: np.ndarray) -> float:
    """Signal to distortion of a whole song in dB: 10 log10(sum s^2 / sum (s - g)^2).

    truth, guess: (2, samples). The measure of the Music Demixing Challenge (Mitsufuji et al.,
    2022). `truth` must not be silent.
    """
    truth, guess = truth.astype(np.float64), guess.astype(np.float64)
    return ratio_db(np.square(truth).sum(), np.square(truth - guess).sum())


def si_sdr(truth: np.ndarray, guess: np.ndarray) -> float:
    """SDR of the scaled truth nearest to the guess (Le Roux et al., 2019), both channels as one."""
    s, g = truth.astype(np.float64).ravel(), guess.astype(np.float64).ravel()
    s = s * (np.dot(s, g) / np.dot(s, s))
    return ratio_db(np.square(s).sum(), np.square(s - g).sum())


def ratio_db(power: float, error: float) -> float:
    """A ratio of powers in dB, kept finite: at most about 150."""
    return float(10.0 * np.log10((power + 1e-15) / (error + 1e-15 * (1.0 + power))))


def score_song(model: Model, stems: dict[str, np.ndarray]) -> list[Score]:
    """Separate the sum of `stems`, each (2, samples) at 44.1 kHz, and score what is not silent."""
    mix = np.sum(list(stems.values()), axis=0)
    with torch.no_grad():
        parts = apply_model(model, torch.from_numpy(mix)[None], shifts=0, overlap=0.25)[0].numpy()
    scores = []
    for name, truth in stems.items():
        if np.mean(np.square(truth)) > SILENCE:
            guess = parts[model.sources.index(name)]
            scores.append(Score(name, sdr(truth, guess), si_sdr(truth, guess),
                                sdr(truth, mix), si_sdr(truth, mix)))  # fmt: skip
    return scores


def measure(model: Model, seeds: Iterable[int], seconds: float) -> list[Score]:
    """The scores of every stem of the songs `seeds`, each `seconds` long."""
    return [s for seed in seeds for s in score_song(model, synthesise(seed, seconds))]


def mean_scores(scores: list[Score]) -> list[Score]:
    """One row a stem, averaged over the songs, and a row named `mean` over those rows."""
    rows = []
    for stem in STEMS:
        values = np.array([s[1:] for s in scores if s.stem == stem])
        if len(values):
            rows.append(Score(stem, *map(float, values.mean(0))))
    return [*rows, Score("mean", *map(float, np.array([r[1:] for r in rows]).mean(0)))]


def table(scores: list[Score]) -> str:
    """The averages as text."""
    lines = ["stem      SDR dB   of the mix     gain   SI-SDR dB   of the mix     gain"]
    for row in mean_scores(scores):
        lines.append(
            f"{row.stem:8}{row.sdr:8.2f}{row.mix_sdr:13.2f}{row.sdr - row.mix_sdr:9.2f}"
            f"{row.si_sdr:12.2f}{row.mix_si_sdr:13.2f}{row.si_sdr - row.mix_si_sdr:9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.quality", description=__doc__)
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="a .safetensors file")
    args = parser.parse_args()
    model = load_safetensors_model(args.model).eval()
    seeds = tqdm(range(TEST_SEED, TEST_SEED + args.songs), desc="songs", disable=None)
    print(table(measure(model, seeds, args.seconds)))


if __name__ == "__main__":
    main()
