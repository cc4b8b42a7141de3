"""Makes the bank of sung voices alone: python -m server.starter.recorded.singing BANK.

A singer who sings throughout costs a fraction of a song, and over an accompaniment it is a mix
whose vocals are known. Knows clips and levels; not who sings or how.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from server.starter.played.orchestra import Orchestra
from server.starter.played.repertoire import repertoire
from server.starter.recorded.accompaniment import CLIP, LEVEL, SR
from server.starter.synthesis.effects import active_rms
from server.starter.synthesis.score import PARTS, Score, compose
from server.starter.synthesis.stems import Studio, vocal_stem
from server.starter.training.filling import fill, mapped


def open_singing(path: Path, clips: int, workers: int = 1, length: float = CLIP) -> torch.Tensor:
    """Clips (clips, 2, round(length * 44100)) float16, each at LEVEL, mapped from `path`.

    Made, and gone on with, as the other banks. Raises FileNotFoundError naming what must be
    installed.
    """
    row = (2, round(length * SR))
    if path.exists():
        return mapped(path, row)
    everybody = repertoire().orchestra
    singers = Orchestra(1.0, {"choir": everybody.presets["choir"]}, everybody.voices)
    path.with_suffix(".json").write_text(json.dumps(["vocals"]))
    write = partial(write_clip, singers)
    return fill(path, (clips, *row), range(clips), write, workers, "clips")


def write_clip(singers: Orchestra, bank: np.ndarray, row: int) -> None:
    """Sing clip number `row` into its row."""
    rng = np.random.default_rng((row, 0x51))
    n = bank.shape[-1]
    score = sung_throughout(compose(rng, n / SR))
    voice = vocal_stem(Studio(score, n, SR, singers), rng)
    bank[row] = voice * np.float32(LEVEL / (active_rms(voice, SR) or 1.0))


def sung_throughout(score: Score) -> Score:
    """The score with every part in all of its sections."""
    sections = (section._replace(parts=frozenset(PARTS)) for section in score.sections)
    return replace(score, sections=tuple(sections))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.recorded.singing",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("bank", type=Path)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    print(f"{args.bank}: {tuple(open_singing(args.bank, args.clips, args.workers).shape)}")


if __name__ == "__main__":
    main()
