"""Packs a bank so that it can travel: python -m server.starter.training.pack BANK FOLDER.

Owns the encoding; what it makes is read by `packed`.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from tqdm import tqdm

from server.starter.training.bank import load_bank
from server.starter.training.packed import GROUP, listing, part_file

SAID = 48000  # Hz, what Opus is told


def pack(bank: Path, folder: Path, groups: range, bits: int, workers: int = 1) -> None:
    """Pack some groups of GROUP songs of the bank at `bank`; bits: a second, of each part."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        done = pool.map(partial(pack_group, bank, folder, bits), groups)
        for _ in tqdm(done, total=len(groups), desc=f"packing {bank.name}", mininterval=5.0):
            pass
    listing(folder).write_text(json.dumps(load_bank(bank).parts))


def pack_group(bank: Path, folder: Path, bits: int, group: int) -> None:
    """Write one group's files."""
    opened = load_bank(bank)
    for part in opened.parts:
        songs = opened.of(part)[group * GROUP : (group + 1) * GROUP].numpy()
        samples = np.concatenate(list(songs), 1).astype(np.float32)
        write_opus(part_file(folder, group, part), samples, bits)


def write_opus(path: Path, samples: np.ndarray, bits: int) -> None:
    """Write samples (2, n) as Ogg Opus of `bits` a second."""
    with av.open(str(path), "w", format="ogg") as file:
        stream = cast(Any, file.add_stream("libopus", rate=SAID, layout="stereo"))
        stream.bit_rate = bits
        stream.options = {"vbr": "on", "frame_duration": "60", "compression_level": "6"}
        for start in range(0, samples.shape[1], SAID):  # a second at a time
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, start : start + SAID]), "fltp", "stereo"
            )
            frame.sample_rate, frame.pts = SAID, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m server.starter.training.pack",
                                     description=__doc__)  # fmt: skip
    parser.add_argument("bank", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--groups", default="", metavar="FIRST:END", help=f"of {GROUP} songs each")
    parser.add_argument("--bits", type=int, default=32000, help="a second, of each part")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    count = -(-len(load_bank(args.bank).songs) // GROUP)
    first, _, end = args.groups.partition(":")
    groups = range(int(first or 0), min(int(end or count), count))
    pack(args.bank, args.folder, groups, args.bits, args.workers)


if __name__ == "__main__":
    main()
