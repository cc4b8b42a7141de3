"""What each stage costs here, in core-seconds: others on the machine change that little.

Each stage runs alone, on one thread of this process, on songs of two lengths; a line goes through
both. Threads that wait for each other would be counted as if they worked: how much they do together
is measured by the clock, so that this alone wants an idle machine.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from msgspec import structs
from tqdm import tqdm

import kernels
from loadtests.capacity.costs import SEPARATE, Cost, Measured
from loadtests.song_bench import STEMS, prepare
from loadtests.traffic import songs
from server.audio.stages import STAGES
from server.config import cores, load
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.library.catalog import ModelFiles
from server.engine.library.choice import serving
from server.engine.models import Separator
from server.engine.songs.song import start_song
from server.jobs.plan import kind_of
from server.work.messages import Task
from server.work.steps import finish

CPU: Final = torch.device("cpu")
SHORT, LONG = 16.0, 48.0  # seconds
NINE: Final = ("decode", "harmonic_percussive", "compose", "normalise", "encode_stems")
MP3: Final = ("describe", "encode/vocals")
LOOKS: Final = ("probe", "measure")  # at what was posted, before it is a job


def measure() -> Measured:
    """Takes about a minute on idle cores."""
    config = load(environ={})
    prepare_cpu(1)
    kernels.warm_up()
    files = serving(config.pipeline.quality, config).models[0]
    model = Separator(files, CPU)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _all(folder / "first", 5.0, model)  # compiles what is still to be compiled
        short = _all(folder / "short", SHORT, model)
        long = _all(folder / "long", LONG, model)
        efficiency = _efficiency(folder / "together", files, config.separation.cpu_threads)
    lines = {stage: _line(short[stage], long[stage]) for stage in short}
    separation = lines.pop(SEPARATE)
    posting = sum(lines.pop(stage).of(60.0) for stage in LOOKS)
    return Measured(
        date=time.strftime("%Y-%m-%d"), machine=_processor(), cores=cores(),
        load=round(os.getloadavg()[0], 1), threads=config.separation.cpu_threads,
        efficiency=efficiency, stages=lines, separations={model.name: separation},
        posting=round(posting, 4),
    )  # fmt: skip


def _all(folder: Path, seconds: float, model: Separator) -> dict[str, float]:
    """Core-seconds of every stage."""
    task = prepare(folder, seconds)
    (song,) = songs.make(songs.cache_folder(), [seconds])
    Path(task.source).write_bytes(song.read())
    mp3 = structs.replace(task, options=structs.replace(task.options, format="MP3"))
    found = {}
    with tqdm([*LOOKS, *NINE, SEPARATE, *MP3], desc=f"{seconds:.0f} s", unit="stage") as bar:
        for stage in bar:
            bar.set_postfix_str(stage)
            if stage == SEPARATE:
                found[stage] = _spent(lambda: _separate(task, folder, model))
                mp3.facts.update(task.facts, peak=1.0)
            else:
                kind = kind_of(stage)
                found[kind] = _spent(_stage(mp3 if stage in MP3 else task, stage))
    return found


def _stage(task: Task, stage: str) -> Callable[[], None]:
    def run() -> None:
        of = structs.replace(task, stage=stage)
        task.facts.update(finish(STAGES[stage.partition("/")[0]](of)).facts)

    return run


def _separate(task: Task, folder: Path, model: Separator) -> None:
    engine = Engine(load(environ={}).separation.batch_on("cpu"), "cpu")
    engine.add(start_song("bench", model, folder, structs.replace(task.options, stems=STEMS)))
    while not engine.idle:
        for _, error in engine.step():
            if error is not None:
                raise error


def _efficiency(folder: Path, files: ModelFiles, threads: int) -> float:
    """How many times as fast so many threads separate as one, a thread."""
    task, seconds = prepare(folder, LONG), []
    _stage(task, "decode")()
    for count in (1, threads):
        prepare_cpu(count)
        model = Separator(files, CPU)  # which keeps the threads that there were when it was made
        model.warm_up(1)
        began = time.monotonic()
        _separate(task, folder, model)
        seconds.append(time.monotonic() - began)
    prepare_cpu(1)
    return round(min(1.0, seconds[0] / seconds[1] / threads), 3)


def _spent(run: Callable[[], None]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _line(short: float, long: float) -> Cost:
    per_second = max(0.0, (long - short) / (LONG - SHORT))
    return Cost(round(max(0.0, short - per_second * SHORT), 4), round(per_second, 6))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
