"""Makes the bank of accompaniments, music without singing of which only the sum is known:
python -m server.starter.recorded.accompaniment BANK.

A voice over it is a real mix whose vocals are known. Knows clips and levels; not which music.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from server.starter.recorded.albums import tracks
from server.starter.recorded.sound import Recording, read, seconds
from server.starter.synthesis.effects import active_rms
from server.starter.training.filling import fill, mapped

SR = 44100
CLIP = 24.0  # seconds
MOST = 10  # clips of one track: hour-long ambiences would drown the rest
LEVEL = 0.1  # RMS where a clip plays: as loud as a stem of a song


class Cut(NamedTuple):
    """What a track gives: `clips` one after the other, from row `first` of the bank on."""

    track: Recording
    first: int
    clips: int


def open_accompaniment(
    path: Path, workers: int = 1, length: float = CLIP, heard: bool = True
) -> torch.Tensor:
    """Clips (clips, 2, round(length * 44100)) float16, each at LEVEL, mapped from `path`.

    A bank that is there is opened as it is; or else it is made of every track at hand, for
    training (heard) or kept from it, and an interrupted making goes on where it was. Beside it
    lies a list of its one part, as beside every bank whose parts are not the six stems.
    Raises FileNotFoundError naming packages where there is no music.
    """
    row = (2, round(length * SR))
    if path.exists():
        return mapped(path, row)
    cuts = plan(tracks(heard), length)
    clips = sum(cut.clips for cut in cuts)
    path.with_suffix(".json").write_text(json.dumps(["instrumental"]))
    return fill(path, (clips, *row), cuts, write_clips, workers, "tracks")


def plan(music: list[Recording], length: float) -> list[Cut]:
    """Where the clips of each track go; tracks shorter than a clip give none."""
    cuts, first = [], 0
    for track in music:
        clips = min(MOST, int(seconds(track) / length))
        if clips:
            cuts.append(Cut(track, first, clips))
            first += clips
    return cuts


def write_clips(bank: np.ndarray, cut: Cut) -> None:
    """Cut one track into its rows, around its middle; what is silent or broken stays zeros."""
    try:
        sound, _ = read(cut.track, SR)
    except av.FFmpegError as broken:
        print(f"{cut.track.name} is left out: {broken}")
        return
    length = bank.shape[-1]
    start = max(0, (sound.shape[1] - cut.clips * length) // 2)
    for row in range(cut.clips):
        clip = sound[:, start + row * length : start + (row + 1) * length]
        bank[cut.first + row, :, : clip.shape[1]] = levelled(clip)


def levelled(clip: np.ndarray) -> np.ndarray:
    """The clip (2, n) at LEVEL; what is quieter than -60 dBFS is silence."""
    loud = active_rms(clip, SR) if clip.size else 0.0
    return clip * np.float32(LEVEL / loud) if loud > 1e-3 else np.zeros_like(clip)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.recorded.accompaniment",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("bank", type=Path)
    parser.add_argument("--unheard", action="store_true", help="of the albums kept for measuring")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    bank = open_accompaniment(args.bank, args.workers, heard=not args.unheard)
    print(f"{args.bank}: {tuple(bank.shape)}")


if __name__ == "__main__":
    main()
