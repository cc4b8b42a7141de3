"""A preset against its models one after the other by hand: python -m loadtests.presets_bench.

What a preset costs beside its models: their answers added up, and what lies between on the disk.
Both sides run in turns in one process, on the shipped models.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import structs

from loadtests.compare import side_by_side
from server.config import Config, cores, load
from server.engine import chains
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.library import catalog, choice
from server.engine.models import Separator
from server.engine.songs.song import start_song
from server.presets import Preset, Step
from server.sound import SAMPLE_RATE
from server.work.messages import Options, Task
from server.work.scratch import FrameWriter

MODELS = ("starter", "starter_fast")
MEAN = Step(model=list(MODELS), stems=["vocals", "drums"])
AFTER = Step(model="starter_fast", input="drums", stems={"kit": "drums"})


def options(config: Config, name: str, stems: Sequence[str]) -> Options:
    """An order of stems from a model or a preset."""
    work = choice.work(choice.resolve(name, config), stems, "BALANCED", config)
    return Options(file_name="x", **work._asdict(), wav_format="FLOAT", target_lufs=-14,
                   true_peak_dbtp=-1, max_seconds=3600, stems=tuple(stems))  # fmt: skip


def main() -> None:
    """Prints seconds of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    prepare_cpu(cores())
    preset = Preset(steps=[MEAN, AFTER], stems=["vocals", "kit"])
    config = structs.replace(load(environ={}), presets={"kits": preset})
    found = {name: catalog.find(name, config) for name in MODELS}
    models = {name: Separator(files, torch.device("cpu"))
              for name, files in found.items() if files is not None}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        with FrameWriter(Path(folder) / "mix.f32") as mix:
            noise = np.random.default_rng(0).normal(0, 0.1, (seconds * SAMPLE_RATE, 2))
            mix.write(noise.astype(np.float32))
        task = Task(id="x", job="x", stage="separate", source="", scratch=folder, outputs="",
                    options=options(config, "kits", ("vocals", "kit")))  # fmt: skip

        def as_preset() -> None:
            chains.run(chains.Chain(task), Engine(1), models.__getitem__, lambda done: None)

        def by_hand() -> None:
            for name, stems in (("starter", ("vocals", "drums")),
                                ("starter_fast", ("vocals", "drums")),
                                ("starter_fast", ("drums",))):
                engine = Engine(1)
                order = options(config, name, stems)
                engine.add(start_song("x", models[name], Path(folder), order))
                while not engine.idle:
                    assert not [error for _, error in engine.step() if error]

        ours, theirs = side_by_side(as_preset, by_hand)
    print(f"{seconds} s of song: preset {ours:.2f} s, its models {theirs:.2f} s, "
          f"ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
