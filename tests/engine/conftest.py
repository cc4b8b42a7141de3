"""Small models with random weights, written in the hub's own format, and songs for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from server.config import Config, load
from server.engine.engine import Engine
from server.engine.masknet import MaskNet
from server.engine.models import Separator
from server.engine.songs.song import Song, start_song
from server.starter.store import save_bag, save_hub_model
from server.work.messages import Options
from server.work.scratch import FrameReader, FrameWriter

CPU = torch.device("cpu")
STEMS = ["drums", "bass", "other", "vocals"]
# of each stem, over the four sources of the first network, two of the second, and the mix
GAINS = {"drums": [0.9, 0, 0.1, 0, 0.2, 0, 0.1], "bass": [-0.2, 0.7, 0, 0, -0.1, 0, 0.2],
         "other": [-0.7, -0.7, -0.1, 0, -0.8, -0.3, 0.7], "vocals": [0, 0, 0, 0, 0.7, 0.3, 0]}
# the same over the two sources of a first mask network, and four of a second
MASK_GAINS = {stem: (*row[4:6], *row[:4], row[6]) for stem, row in GAINS.items()}
WIENER = {"drums": 0.5, "other": 0.25, "vocals": 0.5}
# the published models' names, and what their listings say beside the signatures
OFFICIAL = {
    "htdemucs": {},
    "htdemucs_ft": {"weights": np.eye(4).tolist()},
    "htdemucs_6s": {},
    "hdemucs_mmi": {"segment": 44},
    "mdx_extra": {"segment": 44},
}


def tiny(seed: int, kind: str = "htdemucs", **more: object) -> torch.nn.Module:
    """A random model of a second's segments, in half precision's numbers."""
    torch.manual_seed(seed)
    if kind == "hdemucs":
        model = HDemucs(sources=STEMS, channels=8, depth=5, dconv_comp=2, segment=1)
    else:
        sizes = {"channels": 8, "depth": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 2}
        model = HTDemucs(**{"sources": STEMS, "segment": Fraction(1), **sizes, **more})
    return model.half().float().eval()


def tiny_masks(seed: int, sources: list[str] = STEMS) -> MaskNet:
    """A random mask network of a second's segments, none of whose weights is at its start."""
    torch.manual_seed(seed)
    model = MaskNet(sources, channels=8, blocks=2, dim=16, layers=1, segment=Fraction(1))
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_((value + 0.1 * torch.rand_like(value)).half())
    return model.eval()


def write_models(folder: Path) -> None:
    """single, hybrid, masks, bag (plain mean of two), weighted, a mixture by gains, and one whose
    networks all make masks: shared."""
    folder.mkdir(parents=True, exist_ok=True)
    save_hub_model(tiny(1), folder, "aaaa")
    save_hub_model(tiny(2), folder, "bbbb")
    save_hub_model(tiny(3, "hdemucs"), folder, "cccc")
    save_bag(folder, "single", ["aaaa"])
    save_bag(folder, "bag", ["aaaa", "bbbb"])
    save_bag(folder, "weighted", ["aaaa", "bbbb"], weights=[[1, 0, 0.5, 2], [0, 1, 0.5, 1]])
    save_bag(folder, "hybrid", ["cccc"])
    save_hub_model(tiny_masks(4), folder, "dddd")
    save_hub_model(tiny_masks(5, ["vocals", "instrumental"]), folder, "eeee")
    save_bag(folder, "masks", ["dddd"])
    save_bag(folder, "mixture", ["aaaa", "eeee"], gains=GAINS)
    save_bag(folder, "shared", ["eeee", "dddd"], gains=MASK_GAINS, wiener=WIENER)
    write_official(folder)


def write_official(folder: Path) -> None:
    """Small models under the published names, each a folder of its own as `pull` leaves it."""
    members = {
        "htdemucs": [tiny(10)],
        "htdemucs_ft": [tiny(seed) for seed in range(11, 15)],
        "htdemucs_6s": [tiny(15, sources=[*STEMS, "guitar", "piano"])],
        "hdemucs_mmi": [tiny(16, "hdemucs")],
        "mdx_extra": [tiny(seed, "hdemucs") for seed in range(17, 21)],
    }
    for name, models in members.items():
        own = folder / name
        own.mkdir()
        signatures = [f"{name}{index}" for index in range(len(models))]
        for model, signature in zip(models, signatures, strict=True):
            save_hub_model(model, own, signature)
        save_bag(own, name, signatures, **OFFICIAL[name])


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose model folder holds the small models."""
    data = tmp_path_factory.mktemp("data")
    write_models(data / "models")
    return load(environ={}, flags={"server.data_dir": str(data)})


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server on this machine; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Frames (n, 2) of coloured noise at the level of music."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((max(1, round(seconds * 44100)), 2)).astype(np.float32)
    return (0.1 * np.cumsum(white, axis=0) / 30).astype(np.float32)


def song(
    folder: Path, frames: np.ndarray, model: Separator, overlap: float = 0.25, name: str = "song",
    stems: tuple[str, ...] | None = None,
) -> Song:  # fmt: skip
    folder.mkdir(exist_ok=True)
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(frames)
    options = Options(
        file_name="song", model=model.name, overlap=overlap, wav_format="FLOAT", target_lufs=-14,
        true_peak_dbtp=-1, max_seconds=60, stems=stems or model.sources,
    )
    return start_song(name, model, folder, options)


def run(engine: Engine) -> dict[str, Exception | None]:
    ends = {}
    while not engine.idle:
        for entry, error in engine.step():
            if error or entry.separation.done:
                ends[entry.name] = error
    return ends


def stems_of(
    folder: Path, model: Separator, stems: tuple[str, ...] | None = None
) -> np.ndarray:
    parts = []
    for stem in stems or model.sources:
        with FrameReader(folder / f"{stem}.f32") as reader:
            parts.append(reader.read(0, reader.frames).T)
    return np.stack(parts)
