"""Full-size networks of other families, random weights, against their packages' own inference:
python -m loadtests.families_bench [--chunks 1] [--runs 1].

Model speed does not depend on the weights. Both sides run in turns in one process, on the same
number of threads, on a song of as many whole chunks, without an overlap; figures are core-seconds,
which other work on the machine changes least. GOMP_SPINCOUNT=2000 in front, as the server sets it,
has threads sleep that wait for each other.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from tqdm import tqdm

from loadtests.separate_bench import new_song
from server.config import cores
from server.engine.cpu import prepare_cpu
from server.engine.engine import Engine
from server.engine.families import family_of
from server.engine.library import configuration
from server.engine.library.catalog import ModelFiles
from server.engine.models import Separator
from server.engine.weights import imported
from server.errors import ModelError
from server.work.scratch import FrameReader, FrameWriter

ROFORMER = {"stereo": True, "num_stems": 1, "time_transformer_depth": 1,
            "freq_transformer_depth": 1, "dim_head": 64, "heads": 8, "attn_dropout": 0.0,
            "ff_dropout": 0.0, "flash_attn": True, "stft_hop_length": 441,
            "mask_estimator_depth": 2}  # fmt: skip
VOCALS = {"instruments": ["vocals", "other"], "target_instrument": "vocals"}
FOUR = {"instruments": ["drums", "bass", "other", "vocals"], "target_instrument": None}
# The sizes of well-known checkpoints, and their chunks.
SIZES: dict[str, dict[str, Any]] = {
    "mel_band_roformer": {
        "audio": {"chunk_size": 352800}, "training": VOCALS,
        "model": ROFORMER | {"dim": 384, "depth": 6, "num_bands": 60, "sample_rate": 44100},
    },
    "bs_roformer": {
        "audio": {"chunk_size": 352800}, "training": VOCALS,
        "model": ROFORMER | {"dim": 512, "depth": 12, "freqs_per_bands": (
            [2] * 24 + [4] * 12 + [12] * 8 + [24] * 8 + [48] * 8 + [128, 129])},
    },
    "scnet": {
        "audio": {"chunk_size": 485100}, "training": FOUR,
        "model": {"sources": FOUR["instruments"], "dims": [4, 32, 64, 128],
                  "band_SR": [0.175, 0.392, 0.433], "band_stride": [1, 4, 16],
                  "band_kernel": [3, 4, 16]},
    },
    "mdx23c": {
        "audio": {"chunk_size": 261120, "dim_f": 4096, "dim_t": 256, "hop_length": 1024,
                  "n_fft": 8192, "num_channels": 2}, "training": FOUR,
        "model": {"act": "gelu", "bottleneck_factor": 4, "growth": 128, "norm": "InstanceNorm",
                  "num_blocks_per_scale": 2, "num_channels": 128, "num_scales": 5,
                  "num_subbands": 4, "scale": [2, 2]},
    },
}  # fmt: skip


def measure(name: str, chunks: int, samples: int, runs: int, folder: Path) -> dict[str, Any]:
    """Medians of both sides. Raises ModelError: a package is missing."""
    inference: dict[str, Any] = {"num_overlap": 1, "batch_size": 1}
    if samples:
        inference["chunk_size"] = samples
    said = SIZES[name] | {"inference": inference}
    config = configuration.understood(said)
    plan = family_of(config).blueprint(config)
    plan.check()
    torch.manual_seed(0)
    network = imported(plan.network)(*plan.args, **plan.kwargs).eval()
    folder /= name
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    torch.save(network.state_dict(), folder / "model.ckpt")
    files = ModelFiles(name, folder, (folder / "model.ckpt",), config=config)
    began = time.monotonic()
    model = Separator(files, torch.device("cpu"))
    load_s = time.monotonic() - began
    full = model.in_full()  # itself, where it computes in nothing less
    rng = np.random.default_rng(0)
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(0.1 * rng.standard_normal((chunks * config.segment, 2)).astype(np.float32))
    both: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: _ours(folder, model), "theirs": _theirs(said, network, folder, plan.network)
    }
    if full is not model:
        both["full"] = lambda: _ours(folder, full)
    times: dict[str, list[float]] = {side: [] for side in both}
    made = {}
    for _ in range(runs):
        for side, run in both.items():
            began = time.process_time()
            made[side] = run()
            times[side].append(time.process_time() - began)
    ours, theirs = median(times["ours"]), median(times["theirs"])
    # Without an overlap the packages lose the last sample of a chunk, faded out to zero by zero.
    there = made["theirs"] != 0
    error = np.square((made["ours"] - made["theirs"])[there], dtype=np.float64).sum()
    power = np.square(made["theirs"], dtype=np.float64).sum()
    in_float32 = median(times.get("full", times["ours"]))
    return {"precision": model.precision, "ours_core_s": round(ours, 1),
            "theirs_core_s": round(theirs, 1), "ratio": round(theirs / ours, 2),
            "ratio_in_float32": round(theirs / in_float32, 2),
            "snr_db": round(10 * np.log10(power / error), 1), "load_s": round(load_s, 1),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)}


def _ours(folder: Path, model: Separator) -> np.ndarray:
    engine = Engine(1)
    engine.add(new_song("bench", model, folder / "mix.f32", folder / "stems", 0.0))
    while not engine.idle:
        for _, error in engine.step():
            assert error is None, error
    with FrameReader(folder / "stems" / f"{model.sources[0]}.f32") as reader:
        return reader.read(0, reader.frames).T


def _theirs(
    said: dict[str, Any], network: torch.nn.Module, folder: Path, kind: str
) -> Callable[[], np.ndarray]:
    with FrameReader(folder / "mix.f32") as reader:
        mix = torch.from_numpy(reader.read(0, reader.frames).T.copy())
    first = said["training"]["target_instrument"] or said["training"]["instruments"][0]
    if not kind.startswith("msst."):
        demix_track = imported(f"{kind.partition('.')[0]}.utils.demix_track")
        inference = SimpleNamespace(chunk_size=said["inference"].get(
            "chunk_size", said["audio"]["chunk_size"]), num_overlap=1)
        config = SimpleNamespace(inference=inference, training=SimpleNamespace(**said["training"]))
        return lambda: demix_track(config, network, mix, torch.device("cpu"), 0.0)[0][first]
    demix, config_dict = (imported(name) for name in ("msst.utils.model_utils.demix",
                                                      "ml_collections.ConfigDict"))
    return lambda: demix(config_dict(said), network, mix, torch.device("cpu"), "generic")[first]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1)
    parser.add_argument("--samples", type=int, default=0, help="of a chunk; 0: as published")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    arguments = parser.parse_args()
    prepare_cpu(cores())
    with tempfile.TemporaryDirectory() as folder:
        for name in tqdm(arguments.only, unit="model"):
            try:
                found = measure(name, arguments.chunks, arguments.samples,
                                arguments.runs, Path(folder))
            except ModelError as error:
                print(f"{name}: {error.message}")
                continue
            print(f"{name:<18}", *(f"{key} {value}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
