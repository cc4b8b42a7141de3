"""The engine by itself: batch sizes, roofline, fairness, simultaneous jobs, precision.

`python -m loadtests.engine_bench [--device cuda:0]` measures one device, prints the tables,
tells which `separation.max_batch` is best there and draws `loadtests/engine_<cpu|cuda>.png`.
Forwards are of full-size HTDemucs with random weights (speed does not depend on them); whole
songs go through the starter on a CPU and through the full-size model on a card.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from loadtests.compare import Row, snr_db
from loadtests.roofline import counted
from loadtests.separate_bench import full_size, full_size_model, new_song
from server.config import CPU_BATCH, GPU_BATCH, PrecisionSetting, cores, load
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.forwards.acceleration import accelerate
from server.engine.library import catalog
from server.engine.loading import load_members
from server.engine.models import Separator
from server.sound import SAMPLE_RATE
from server.starter.songs import synthesise
from server.work.scratch import FrameWriter

STRIDE = 0.75 * 7.8  # seconds of song that a segment is worth at an overlap of a quarter
BATCHES = {"cpu": (1, 2, 4), "cuda": (1, 2, 4, 8, 16, 32, 64)}
JOBS = (1, 4, 16)
ROUNDS = 3
TRAINED = Path(__file__).parents[1] / "tests" / "engine" / "weights"
FIRST_SEED, SONGS = 2_000_000, 10  # songs that the starter never heard


class Bench:
    """One device's measurements."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._kind = self._device.type
        if self._kind == "cpu":
            prepare_cpu(cores())
        self._model = full_size_model().to(self._device)
        self._batch = CPU_BATCH if self._kind == "cpu" else GPU_BATCH

    def run(self) -> list[Row]:
        """All rows."""
        found: dict[str, Row] = {}
        steps = {
            "batches": self.batches, "roofline": lambda: self.roofline(found["batches"]),
            "fairness": self.fairness, "simultaneous": self.simultaneous, "quality": self.quality,
        }  # fmt: skip
        for name in (bar := tqdm(steps, unit="part")):
            bar.set_postfix_str(name)
            found[name] = steps[name]()
        return [{"name": f"engine_{self._kind}_{name}"} | row for name, row in found.items()]

    def batches(self) -> Row:
        """Seconds of song a second, by the segments of one forward and the precision."""
        rows: Row = {"demucs": self._speeds(self._model, BATCHES[self._kind])}
        settings: tuple[PrecisionSetting, ...] = ("float32", "auto")
        mix = self._noise(1)
        with torch.inference_mode():
            truth = self._model(mix).cpu().numpy()
        for setting in settings:
            fast = accelerate(full_size_model(), self._device, setting)
            rows[setting] = self._speeds(fast, BATCHES[self._kind])
            with torch.inference_mode():
                rows[f"{setting}_snr_db"] = round(snr_db(truth, fast(mix).cpu().numpy()), 1)
        best = max(rows["auto"], key=lambda size: rows["auto"][size])
        return rows | {"best_batch": best, "seconds_of_song_per_s": rows["auto"][best],
                       "device_s_per_3_minutes": round(180 / rows["auto"][best], 3)}

    def _speeds(self, model: nn.Module, sizes: tuple[int, ...]) -> dict[int, float]:
        """By batch size, as far as the memory goes."""
        speeds = {}
        for size in sizes:
            mix = self._noise(size)
            try:
                taken = self._time(lambda mix=mix: model(mix))  # type: ignore[misc]
            except torch.OutOfMemoryError:
                break
            speeds[size] = round(size * STRIDE / taken, 2)
        return speeds

    def roofline(self, batches: Row) -> Row:
        """How near a forward comes to what the device's own multiplications and copies allow."""
        flop, moved = counted()
        half = torch.float16 if self._kind == "cuda" else torch.float32
        ceiling = self._product_rate(half)
        bandwidth = self._copy_rate()
        speed = batches["float32" if self._kind == "cpu" else "auto"]
        taken = STRIDE / max(speed.values())
        size = 2 if half == torch.float16 else 4
        bound = max(flop / ceiling, moved * size / bandwidth)
        return {
            "gflop_per_segment": round(flop / 1e9, 1),
            "gigabytes_per_segment": round(moved * size / 1e9, 2),
            "ceiling_gflop_per_s": round(ceiling / 1e9),
            "copies_gb_per_s": round(bandwidth / 1e9, 1),
            "bound_s": round(bound, 4), "segment_s": round(taken, 4),
            "share_of_ceiling": round(bound / taken, 3),
        }

    def fairness(self) -> Row:
        """A 20-second clip's time, alone and behind long songs; and what a queue would make it."""
        with self._songs(20, 600) as (model, clip, long):
            alone = self._until_done(model, clip, [])
            rows: Row = {"clip_alone_s": round(alone, 3)}
            for count in (1, 3, 7):
                behind = self._until_done(model, clip, [long] * count)
                rows[f"clip_behind_{count}_s"] = round(behind, 3)
            rows["in_a_queue_behind_1_s"] = round(alone * (1 + 600 / 20), 2)
            return rows

    def simultaneous(self) -> Row:
        """Seconds of song a second, by the number of 20-second songs that come at once."""
        with self._songs(20, 20) as (model, clip, _):
            rows: Row = {}
            for count in JOBS:
                engine = Engine(self._batch, self._device)
                began = time.perf_counter()
                for number in range(count):
                    engine.add(new_song(str(number), model, clip[0], clip[1] / str(number)))
                for _ in _steps(engine):
                    pass
                rows[f"jobs_{count}"] = round(count * 20 / (time.perf_counter() - began), 1)
            return rows

    def quality(self) -> Row:
        """What reduced precision costs a trained HTDemucs: the worst stem of the songs that
        `make quality` begins with, against demucs's own forward."""
        files = catalog.whole("trained", TRAINED)
        assert files is not None
        own: Any = load_members(files).networks[0].to(self._device).eval()
        fast = accelerate(load_members(files).networks[0], self._device)
        kept, lost = [], []
        for seed in range(FIRST_SEED, FIRST_SEED + SONGS):
            stems = synthesise(seed, 20.0)
            start, stop = 5 * SAMPLE_RATE, 5 * SAMPLE_RATE + own.valid_length(1)
            truth = np.stack(list(stems.values()))[..., start:stop]
            mix = torch.from_numpy(truth.sum(0))[None].to(self._device)
            with torch.inference_mode():
                plain, made = (model(mix)[0].cpu().numpy() for model in (own, fast))
            for place, stem in enumerate(truth):
                kept.append(snr_db(plain[place], made[place]))
                if stem.any():
                    lost.append(snr_db(stem, plain[place]) - snr_db(stem, made[place]))
        return {"worst_snr_db": round(min(kept), 1), "median_snr_db": round(median(kept), 1),
                "most_sdr_lost_db": round(max(lost), 4), "stems": len(kept)}

    @contextmanager
    def _songs(
        self, *seconds: float
    ) -> Iterator[tuple[Separator, tuple[Path, Path], tuple[Path, Path]]]:
        """A model, and for each length a mix and a folder for stems."""
        with tempfile.TemporaryDirectory() as name:
            folder, rng, songs = Path(name), np.random.default_rng(0), []
            for number, length in enumerate(seconds):
                mix = folder / f"mix{number}.f32"
                with FrameWriter(mix) as writer:
                    for _ in range(round(length)):
                        writer.write(0.1 * rng.standard_normal((SAMPLE_RATE, 2)))
                songs.append((mix, folder / f"stems{number}"))
            if self._kind == "cpu":
                files = catalog.find("starter", load(environ={}, flags={}))
            else:
                files = full_size(folder)
            assert files is not None
            model = Separator(files, self._device)
            model.warm_up(self._batch)
            yield model, songs[0], songs[1]

    def _until_done(
        self, model: Separator, clip: tuple[Path, Path], others: list[tuple[Path, Path]]
    ) -> float:
        engine = Engine(self._batch, self._device)
        for number, (mix, stems) in enumerate(others):
            engine.add(new_song(f"long{number}", model, mix, stems / str(number)))
        for _ in range(3):
            list(engine.step())
        began = time.perf_counter()
        engine.add(new_song("clip", model, *clip))
        for song in _steps(engine):
            if song.name == "clip" and song.separation.done:
                break
        taken = time.perf_counter() - began
        engine.close(RuntimeError("measured"))
        return taken

    def _noise(self, segments: int) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        samples = int(7.8 * SAMPLE_RATE)
        return (0.1 * torch.randn(segments, 2, samples, generator=generator)).to(self._device)

    @torch.inference_mode()
    def _time(self, work: Callable[[], Any]) -> float:
        """Median seconds, to the end of the device's work."""
        taken = []
        for _ in range(ROUNDS + 1):
            self._wait()
            began = time.perf_counter()
            work()
            self._wait()
            taken.append(time.perf_counter() - began)
        return median(taken[1:])

    def _wait(self) -> None:
        if self._kind == "cuda":
            torch.cuda.synchronize(self._device)

    def _product_rate(self, dtype: torch.dtype) -> float:
        """Operations a second of a large matrix product."""
        size = 2048 if self._kind == "cpu" else 8192
        a = torch.randn(size, size, device=self._device, dtype=dtype)
        return 2 * size**3 / self._time(lambda: a @ a)

    def _copy_rate(self) -> float:
        """Bytes read and written a second by a copy."""
        a = torch.zeros(2**26, device=self._device)
        b = torch.empty_like(a)
        return 2 * a.nbytes / self._time(lambda: b.copy_(a))


def _steps(engine: Engine) -> Iterator[Any]:
    while not engine.idle:
        for song, error in engine.step():
            assert error is None, error
            yield song


def picture(rows: list[Row], path: Path) -> None:
    """One panel a row."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    batches, roofline, fairness, simultaneous = rows[:4]
    figure, axes = plt.subplots(2, 2, figsize=(11, 8))
    for side in ("demucs", "float32", "auto"):
        axes[0, 0].plot([str(size) for size in batches[side]], list(batches[side].values()), "o-",
                        label=side)
    axes[0, 0].set(title="full-size HTDemucs, by batch", xlabel="segments in one forward",
                   ylabel="seconds of song a second", ylim=(0, None))
    axes[0, 0].legend()
    axes[0, 1].bar(["bound", "measured"], [roofline["bound_s"], roofline["segment_s"]])
    axes[0, 1].set(title=f"a segment: {roofline['share_of_ceiling']:.0%} of the ceiling",
                   ylabel="seconds")
    waits = {key.removeprefix("clip_").removesuffix("_s").replace("_", " "): value
             for key, value in fairness.items() if key.startswith("clip_")}
    axes[1, 0].bar(list(waits), list(waits.values()))
    axes[1, 0].set(title="a 20-second clip among 10-minute songs", ylabel="seconds until done")
    jobs = {key: value for key, value in simultaneous.items() if key.startswith("jobs_")}
    axes[1, 1].bar([key.removeprefix("jobs_") for key in jobs], list(jobs.values()))
    axes[1, 1].set(title="20-second songs at once", xlabel="songs",
                   ylabel="seconds of song a second")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def run(device: str | None = None) -> list[Row]:
    """Every row of a device: the first card, or the CPU."""
    device = device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    rows = Bench(device).run()
    picture(rows, Path(__file__).with_name(f"engine_{torch.device(device).type}.png"))
    return rows


def main() -> None:
    """Prints one device's rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device")
    rows = run(parser.parse_args().device)
    for row in rows:
        print(row.pop("name"))
        for key, value in row.items():
            print(f"  {key:<24} {value}")
    print(f"best here: STEMBOX_SEPARATION__MAX_BATCH={rows[0]['best_batch']}")


if __name__ == "__main__":
    main()
