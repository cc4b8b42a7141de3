"""Separation: the engine against `demucs.apply.apply_model`, full-size HTDemucs, same weights.

Each side has a process of its own, set up as its users set it up: ours as a separation worker
is, theirs as torch starts. Speed does not depend on the weights, so they are random; quality is
never measured here. `python -m loadtests.separate_bench SIDE FOLDER DEVICE` is one side.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
import torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs
from demucs.transformer import LayerScale

from loadtests.compare import Row, row, side_by_side, snr_db
from server.config import CPU_BATCH, GPU_BATCH, SPIN_COUNT, cores
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.library.catalog import ModelFiles
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.songs.separation import Separation
from server.engine.songs.song import Song
from server.engine.songs.targets import Target
from server.sound import SAMPLE_RATE
from server.starter.store import save_bag, save_hub_model
from server.stems import stem_gains
from server.work.scratch import FrameReader, FrameWriter

SECONDS = 20
STEMS = ["drums", "bass", "other", "vocals"]
NAME = "full"


def full_size_model() -> HTDemucs:
    """htdemucs's own sizes (42 M parameters, 7.8 s segments), random weights.

    A new model's layer scales all but shut its residual branches; here they are open, so that
    what is lost in them is heard.
    """
    torch.manual_seed(0)
    model = HTDemucs(STEMS, bottom_channels=512, t_layers=5, segment=Fraction(39, 5),
                     dconv_mode=3, t_dropout=0.02).eval()  # fmt: skip
    for part in model.modules():
        if isinstance(part, LayerScale):
            torch.nn.init.uniform_(part.scale, 0, 0.5)
    return model


def full_size(folder: Path) -> ModelFiles:
    """The same, written in the hub's format."""
    weights = save_hub_model(full_size_model(), folder, NAME)
    save_bag(folder, NAME, [NAME])
    return ModelFiles(NAME, folder, (weights,))


def run() -> list[Row]:
    """20 s, overlap 0.25; on the CPU with as many threads as cores on both sides, and on the
    first CUDA card where there is one."""
    found = [measure("separate_cpu_full_size", "cpu")]
    if torch.cuda.is_available():
        found.append(measure("separate_gpu_full_size", "cuda:0"))
    return found


def measure(name: str, device: str) -> Row:
    """Both sides on one device, in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        full_size(folder)
        mix = 0.1 * torch.randn(1, 2, SECONDS * SAMPLE_RATE,
                                generator=torch.Generator().manual_seed(1))
        with FrameWriter(folder / "mix.f32") as writer:
            writer.write(mix[0].T.numpy())
        with Side("ours", folder, device) as ours, Side("theirs", folder, device) as theirs:
            ours_s, theirs_s = side_by_side(ours.go, theirs.go, rounds=3)
        expected = np.load(folder / "theirs.npy")
        worst = min(_snr(folder, stem, truth) for stem, truth in zip(STEMS, expected, strict=True))
        return row(name, ours_s, theirs_s, snr_db=round(worst, 1))


class Side:
    """One side's process: separates the mix in `folder` every time it is told to."""

    def __init__(self, name: str, folder: Path, device: str) -> None:
        environ = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
        if name == "ours":
            environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        command = [sys.executable, "-m", "loadtests.separate_bench", name, str(folder), device]
        self._process = subprocess.Popen(command, env=environ, text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)

    def go(self) -> None:
        """One separation, from the mix's file to the stems."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print("go", file=self._process.stdin, flush=True)
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError("a side of the benchmark has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def ours(folder: Path, device: str) -> Callable[[], None]:
    """The engine, as `stembox serve` sets it up."""
    prepare_cpu(cores())
    (weights,) = folder.glob(f"{NAME}.safetensors")
    model = Separator(ModelFiles(NAME, folder, (weights,)), torch.device(device))
    batch = CPU_BATCH if device == "cpu" else GPU_BATCH

    def separate() -> None:
        engine = Engine(batch, device)
        engine.add(new_song("bench", model, folder / "mix.f32", folder))
        while not engine.idle:
            for _, error in engine.step():
                assert error is None, error

    return separate


def new_song(
    name: str, model: Separator, mix: Path, stems: Path, overlap: float = 0.25
) -> Song:
    """All of the model's stems of a mix, into the folder `stems`."""
    stems.mkdir(parents=True, exist_ok=True)
    rows = stem_gains(model.sources, model.name, model.recipe)
    targets = [Target(stems / f"{stem}.f32", row)
               for stem, row in zip(model.sources, rows, strict=True)]
    separation = Separation(mix, targets, model.cut(overlap), model.device)
    return Song(name, model, separation)


def theirs(folder: Path, device: str) -> Callable[[], None]:
    """apply_model, as demucs documents it."""
    torch.set_num_threads(cores())
    (weights,) = folder.glob(f"{NAME}.safetensors")
    bag = load_bag(ModelFiles(NAME, folder, (weights,)))

    def separate() -> None:
        with FrameReader(folder / "mix.f32") as reader:
            mix = torch.from_numpy(reader.read(0, reader.frames).T.copy())[None]
        made = apply_model(bag, mix, shifts=0, overlap=0.25, device=device)
        np.save(folder / "theirs.npy", made[0].cpu().numpy())

    return separate


def _snr(folder: Path, stem: str, truth: np.ndarray) -> float:
    with FrameReader(folder / f"{stem}.f32") as reader:
        return snr_db(truth.T, reader.read(0, reader.frames))


def main() -> None:
    """One side: separates once for every line of standard input."""
    side, folder, device = sys.argv[1:]
    separate = {"ours": ours, "theirs": theirs}[side](Path(folder), device)
    for _ in sys.stdin:
        separate()
        print("done", flush=True)


if __name__ == "__main__":
    main()
