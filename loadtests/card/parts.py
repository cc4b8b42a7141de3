"""What is measured of a card, each part in a process of its own."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.card.visiting import Findings

RATE = 44100


class Setting(NamedTuple):
    """Where and how large to measure."""

    device: str
    small: bool

    @property
    def song_s(self) -> int:
        """Seconds of a song."""
        return 3 if self.small else 180

    @property
    def rounds(self) -> int:
        """How often a song is timed."""
        return 1 if self.small else 3

    @property
    def batches(self) -> tuple[int, ...]:
        """Segments of one forward."""
        return (1, 2) if self.small else (1, 4, 16, 32)


def forwards(setting: Setting, found: Findings) -> None:
    """Seconds of song a second by the segments of one forward: demucs's own, ours in float32 and
    as the engine has it, and that with cuDNN choosing by trial."""
    import torch

    from server.engine.forwards.acceleration import accelerate

    device = prepared(setting)
    found["card"] = torch.cuda.get_device_name() if device.type == "cuda" else None
    speeds(found, "auto", accelerate(network(setting), device), setting)
    speeds(found, "demucs", network(setting).to(device), setting)
    speeds(found, "float32", accelerate(network(setting), device, "float32"), setting)
    torch.backends.cudnn.benchmark = True
    speeds(found, "auto, cuDNN by trial", accelerate(network(setting), device), setting)


def speeds(found: Findings, name: str, model: Any, setting: Setting) -> None:
    """Adds seconds of song a second for every batch that fits into memory."""
    import torch

    device = torch.device(setting.device)
    samples = model.valid_length(1)
    worth = 0.75 * samples / RATE  # a segment's share of a song, at an overlap of a quarter
    generator = torch.Generator().manual_seed(1)
    for size in setting.batches:
        mix = 0.1 * torch.randn(size, 2, samples, generator=generator).to(device)
        try:
            with torch.inference_mode():
                taken = median_s(lambda mix=mix: model(mix), device)  # type: ignore[misc]
        except torch.OutOfMemoryError:
            break
        found[f"{name}, {size}"] = round(size * worth / taken, 1)


def song_full_size(setting: Setting, found: Findings) -> None:
    """Whole songs from file to files through HTDemucs of full size, beside `apply_model`."""
    from server.engine.library.catalog import ModelFiles
    from server.starter.store import save_bag, save_hub_model

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        weights = save_hub_model(network(setting), folder, "full")
        save_bag(folder, "full", ["full"])
        songs(setting, ModelFiles("full", folder, (weights,)), found)


def song_starter(setting: Setting, found: Findings) -> None:
    """The same through the model that comes with the server: two networks, mixed by gains."""
    from server.config import load
    from server.engine.library import catalog

    songs(setting, catalog.find("starter", load(environ={}, flags={})), found)


def songs(setting: Setting, files: Any, found: Findings) -> None:
    """Seconds of one song and of several at once; of the first also `apply_model`'s, and the SNR
    of the worst stem."""
    import numpy as np
    import torch

    from loadtests.compare import snr_db
    from server.config import CPU_BATCH, GPU_BATCH
    from server.engine.loading import load_bag
    from server.engine.models import Separator
    from server.work.scratch import FrameReader, FrameWriter

    device = prepared(setting)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rng = np.random.default_rng(1)
        frames = 0.1 * rng.standard_normal((setting.song_s * RATE, 2)).astype(np.float32)
        with FrameWriter(folder / "mix.f32") as writer:
            writer.write(frames)
        began = time.monotonic()
        model = Separator(files, device)
        loaded = time.monotonic()
        batch = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        step_s = model.warm_up(batch)
        found["load_s"], found["reduced"] = round(loaded - began, 2), model.reduced
        found["warm_up_s"] = round(time.monotonic() - loaded, 2)
        found[f"forward_of_{batch}_s"] = round(step_s, 4)
        for count in (1, 4):
            def work(count: int = count) -> None:
                separate(model, folder, count, batch)

            taken = median_s(work, device, setting.rounds)
            found[f"songs_{count}_s"] = round(taken, 3)
            found[f"songs_{count}_times_real_time"] = round(count * setting.song_s / taken, 1)
        profile(lambda: separate(model, folder, 1, batch))
        made = []
        for stem in model.sources:
            with FrameReader(folder / "0" / f"{stem}.f32") as reader:
                made.append(reader.read(0, reader.frames).T)
        mix, bag = torch.from_numpy(frames.T.copy())[None], load_bag(files)
        truth = applied(bag, mix, device, tf32=False)
        found["snr_db"] = round(min(map(snr_db, truth, made)), 1)
        found["apply_model_s"] = round(
            median_s(lambda: applied(bag, mix, device, tf32=True), device, 1), 3
        )
        found["ratio"] = round(found["apply_model_s"] / found["songs_1_s"], 2)
    if device.type == "cuda":
        found["peak_gb"] = round(torch.cuda.max_memory_reserved() / 1e9, 2)


def applied(bag: Any, mix: Any, device: Any, tf32: bool) -> Any:
    """What demucs makes of it; `tf32`: as torch starts, or in float32 proper."""
    import torch
    from demucs.apply import apply_model

    torch.backends.cudnn.allow_tf32 = tf32
    return apply_model(bag, mix, shifts=0, overlap=0.25, device=device)[0].cpu().numpy()


def separate(model: Any, folder: Path, count: int, batch: int) -> None:
    """So many songs at once, from the mix's file to the stems' files."""
    from loadtests.separate_bench import new_song
    from server.engine.engine import Engine

    engine = Engine(batch, model.device)
    for number in range(count):  # nothing is replaced: a file system would write that out first
        shutil.rmtree(folder / str(number), ignore_errors=True)
        engine.add(new_song(str(number), model, folder / "mix.f32", folder / str(number)))
    while not engine.idle:
        for _, error in engine.step():
            if error is not None:
                raise error


def profile(work: Callable[[], None]) -> None:
    """Prints where the host's time goes."""
    import cProfile
    import pstats

    with cProfile.Profile() as profiler:
        work()
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(18)


PARTS: dict[str, tuple[Callable[[Setting, Findings], None], float]] = {  # and seconds at most
    "forwards": (forwards, 50), "song, full size": (song_full_size, 40),
    "song, starter": (song_starter, 30),
}  # fmt: skip


def prepared(setting: Setting) -> Any:
    """The device, set up as a separation worker does."""
    import torch

    from server.engine.card import prepare_card

    device = torch.device(setting.device)
    if device.type == "cuda":
        prepare_card(device)
    return device


def network(setting: Setting) -> Any:
    """HTDemucs with random weights, on the CPU."""
    from demucs.htdemucs import HTDemucs

    from loadtests.separate_bench import STEMS, full_size_model

    if not setting.small:
        return full_size_model()
    return HTDemucs(STEMS, channels=8, depth=4, t_layers=1, t_heads=2, segment=1).eval()


def median_s(work: Callable[[], Any], device: Any, rounds: int = 3) -> float:
    """Median seconds to the end of the device's work, after one round that does not count."""
    from statistics import median

    import torch

    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return median(taken[1:])
