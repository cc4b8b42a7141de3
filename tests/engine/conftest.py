"""Small models with random weights, written in the hub's own format."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from server.config import Config, load
from server.starter.store import save_bag, save_hub_model

STEMS = ["drums", "bass", "other", "vocals"]


def tiny(seed: int, kind: str = "htdemucs", **more: object) -> torch.nn.Module:
    """A random model of a second's segments, in half precision's numbers."""
    torch.manual_seed(seed)
    if kind == "hdemucs":
        model = HDemucs(sources=STEMS, channels=8, depth=5, dconv_comp=2, segment=1)
    else:
        model = HTDemucs(
            sources=STEMS, channels=8, depth=4, dconv_comp=2, t_layers=1, t_heads=2,
            segment=Fraction(1), **more,
        )
    return model.half().float().eval()


def write_models(folder: Path) -> None:
    """single, hybrid, bag (plain mean of two) and specialists (one-hot weights)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_hub_model(tiny(1), folder, "aaaa")
    save_hub_model(tiny(2), folder, "bbbb")
    save_hub_model(tiny(3, "hdemucs"), folder, "cccc")
    save_bag(folder, "single", ["aaaa"])
    save_bag(folder, "bag", ["aaaa", "bbbb"])
    save_bag(folder, "weighted", ["aaaa", "bbbb"], weights=[[1, 0, 0.5, 2], [0, 1, 0.5, 1]])
    save_bag(folder, "hybrid", ["cccc"])


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings whose model folder holds the small models."""
    data = tmp_path_factory.mktemp("data")
    write_models(data / "models")
    return load(environ={}, flags={"server.data_dir": str(data)})
