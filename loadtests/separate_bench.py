"""Separation: the engine against `demucs.apply.apply_model`, full-size HTDemucs, same weights.

Speed does not depend on the weights, so they are random; quality is never measured here.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs

from loadtests.compare import Row, row, side_by_side, snr_db
from server.config import CPU_BATCH, GPU_BATCH, cores
from server.engine.catalog import ModelFiles
from server.engine.engine import Engine, Song
from server.engine.models import Separator, load_bag
from server.engine.separation import Cut, Separation
from server.scratch import SAMPLE_RATE, FrameReader, FrameWriter
from server.starter.store import save_bag, save_hub_model

SECONDS = 20
STEMS = ["drums", "bass", "other", "vocals"]


def full_size(folder: Path) -> ModelFiles:
    """htdemucs's own sizes (42 M parameters, 7.8 s segments), written in the hub's format."""
    from fractions import Fraction

    torch.manual_seed(0)
    model = HTDemucs(STEMS, bottom_channels=512, t_layers=5, segment=Fraction(39, 5),
                     dconv_mode=3, t_dropout=0.02)
    weights = save_hub_model(model, folder, "full")
    save_bag(folder, "full", ["full"])
    return ModelFiles("full", folder, (weights,))


def run() -> list[Row]:
    """20 s, overlap 0.25; on the CPU with as many threads as cores on both sides, and on the
    first CUDA card where there is one."""
    torch.set_num_threads(cores())
    found = [measure("separate_cpu_full_size", torch.device("cpu"), max_batch=CPU_BATCH)]
    if torch.cuda.is_available():
        card = torch.device("cuda:0")
        found.append(measure("separate_gpu_full_size", card, max_batch=GPU_BATCH))
    return found


def measure(name: str, device: torch.device, max_batch: int) -> Row:
    """Both sides on one device."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = full_size(folder)
        torch.manual_seed(1)
        mix = 0.1 * torch.randn(1, 2, SECONDS * SAMPLE_RATE)
        with FrameWriter(folder / "mix.f32") as writer:
            writer.write(mix[0].T.numpy())
        bag, model = load_bag(files), Separator(files, device)

        def ours() -> None:
            gains = np.eye(len(model.sources), len(model.sources) + 1, dtype=np.float32)
            cut = Cut(model.segment, 0.25)
            separation = Separation(folder / "mix.f32", folder, model.sources, gains, cut)
            engine = Engine(max_batch, device)
            engine.add(Song("bench", model, separation))
            while not engine.idle:
                for _, error in engine.step():
                    assert error is None, error

        def theirs() -> torch.Tensor:
            return apply_model(bag, mix, shifts=0, overlap=0.25, device=device)

        ours_s, theirs_s = side_by_side(ours, theirs, rounds=3)
        expected = theirs()[0].cpu()
        worst = min(_snr(folder, stem, truth) for stem, truth in zip(STEMS, expected, strict=True))
        return row(name, ours_s, theirs_s, snr_db=round(worst, 1))


def _snr(folder: Path, stem: str, truth: torch.Tensor) -> float:
    with FrameReader(folder / f"{stem}.f32") as reader:
        return snr_db(truth.numpy().T, reader.read(0, reader.frames))
