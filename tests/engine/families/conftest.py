"""Small models of each family by the convention, with random weights, in folders of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from server.config import Config, load
from server.engine.families import family_of
from server.engine.library import catalog, configuration
from server.engine.weights import imported

CHUNK = 22016  # samples: 43 hops of 512
STEMS = ["drums", "bass", "other", "vocals"]
ROFORMER = {"dim": 16, "depth": 2, "stereo": True, "num_stems": 2, "time_transformer_depth": 1,
            "freq_transformer_depth": 1, "dim_head": 8, "heads": 2, "attn_dropout": 0.1,
            "ff_dropout": 0.1, "flash_attn": True, "mask_estimator_depth": 2,
            "stft_hop_length": 512}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "bs_roformer": ROFORMER | {"freqs_per_bands": [2] * 24 + [4] * 12 + [12] * 8 + [24] * 8
                               + [48] * 8 + [128, 129]},
    "mel_band_roformer": ROFORMER | {"num_bands": 60, "sample_rate": 44100},
    "scnet": {"sources": ["vocals", "other"], "audio_channels": 2, "dims": [4, 8, 8, 16],
              "nfft": 2048, "hop_size": 512, "win_size": 2048, "normalized": True,
              "band_SR": [0.175, 0.392, 0.433], "band_stride": [1, 4, 16],
              "band_kernel": [3, 4, 16], "conv_depths": [3, 2, 1], "compress": 4,
              "conv_kernel": 3, "num_dplayer": 2, "expand": 1},
    "mdx23c": {"act": "gelu", "bottleneck_factor": 4, "growth": 4, "norm": "InstanceNorm",
               "num_blocks_per_scale": 1, "num_channels": 8, "num_scales": 2, "num_subbands": 4,
               "scale": [2, 2]},
}  # fmt: skip


def content(kind: str, **training: Any) -> dict[str, Any]:
    """A configuration of a family, as its authors write them."""
    wanted = {"instruments": ["vocals", "other"], "target_instrument": None, "use_amp": True}
    return {
        "audio": {"chunk_size": CHUNK, "dim_f": 1024, "dim_t": 44, "hop_length": 512,
                  "n_fft": 2048, "num_channels": 2, "sample_rate": 44100, "min_mean_abs": 0.0},
        "model": dict(MODELS[kind]), "training": wanted | training,
        "inference": {"batch_size": 1, "num_overlap": 2, "dim_t": 44},
    }  # fmt: skip


def network(said: dict[str, Any], seed: int = 0) -> nn.Module:
    """The network of a configuration, made by its package, with random weights."""
    config = configuration.understood(said)
    plan = family_of(config).blueprint(config)
    torch.manual_seed(seed)
    made = imported(plan.network)(*plan.args, **plan.kwargs).eval()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return made


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings whose models lie in `models` below `tmp_path`."""
    return load(environ={}, flags={"server.data_dir": str(tmp_path)})


@pytest.fixture
def install(config: Config) -> Callable[..., catalog.ModelFiles]:
    """Writes a model's folder, and finds it."""

    def written(
        name: str, said: dict[str, Any], made: nn.Module, save: Callable[..., object] = torch.save
    ) -> catalog.ModelFiles:
        folder = config.data_dir / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(said))
        save(made.state_dict(), folder / "model.ckpt")
        found = catalog.find(name, config)
        assert found is not None, catalog.refused(config)
        return found

    return written
